# SPDX-License-Identifier: Apache-2.0
# The few verbs of the README. The build itself is CMake's: see CMakePresets.json for the presets.
PREFIX ?= /usr/local
ONEDNN ?= ON
JOBS ?= $(shell nproc)

# A compiler cache, where one is installed, stays inside the clone.
export CCACHE_DIR ?= $(CURDIR)/build/.ccache

.PHONY: all build demo demo-local test test-long bench install clean goldens fingerprints peers symbols reference wheel

all: build

build:
	@mkdir -p build
	@cmake --preset release -DBDL_ONEDNN=$(ONEDNN) > build/configure.log 2>&1 || { cat build/configure.log; \
		echo "make: where a program or a library is missing, tools/install_deps demo installs it or names it"; exit 1; }
	@cmake --build build/release --target product -j $(JOBS)

# A network learns, is saved, and predicts: from the command, then in Apache Spark on two executors. Needs no oneDNN.
demo:
	@tools/install_deps spark
	@$(MAKE) --no-print-directory build ONEDNN=OFF
	@tools/demo.sh
	@tools/demo_spark.sh

# The same without Spark, in under three minutes.
demo-local:
	@tools/install_deps demo
	@$(MAKE) --no-print-directory build ONEDNN=OFF
	@tools/demo.sh

# Everything CI checks, with the seconds of each stage at the end.
test:
	@tools/install_deps test
	@tools/test.sh

# What takes longer than CI may.
test-long:
	@tools/install_deps test
	@tools/test.sh --long

bench: build
	bench/run

install: build
	cmake --install build/release --prefix "$(PREFIX)"

# The Python package as build/wheel/dist/*.whl, for Python 3.10 and newer on x86-64.
wheel:
	@tools/make_wheel

# Remakes the golden files in an environment of its own and compares them with the committed ones.
goldens:
	tests/golden/run

# Remakes tests/golden/fingerprints.txt, the bits that trained networks have, after a change of arithmetic that is meant.
fingerprints:
	cmake --preset ci-gcc
	cmake --build build/ci-gcc --target test_golden_fingerprints -j $(JOBS)
	BDL_SOURCE_DIR="$(CURDIR)" BDL_WRITE_FINGERPRINTS=1 build/ci-gcc/tests/golden/fingerprints

# The same benchmarks with other frameworks beside bdl.
peers: build
	bench/run --peers

# Refreshes the list of exported symbols after a change of the public header.
symbols:
	cmake --preset dev
	cmake --build build/dev --target update_symbols

# Remakes docs/reference, the manual page, the shell completion and the Python classes from the field tables.
reference: build
	tools/gen_reference.py build/release/bin/bdl
	tools/gen_bindings.py build/release/bin/bdl

clean:
	rm -rf build
