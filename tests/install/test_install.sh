#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs into a folder by prefix and by DESTDIR, moves it, and builds outside C and C++ programs against it: with pkg-config
# and with CMake, shared and static. BDL_BUILD_DIR and BDL_SOURCE_DIR come from ctest.
# ctest: timeout=600
set -uo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
program=$BDL_SOURCE_DIR/tests/install/program
passed=0 failed=0

# check NAME COMMAND...
check() {
    local name=$1
    shift
    if "$@" > "$tmp/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $name"
        tail -n 20 "$tmp/log"
    fi
}

compile() { # OUTPUT COMPILER SOURCE PKG-CONFIG-OPTION
    local flags
    flags=$(pkg-config ${4:-} --cflags --libs bdl) || return 1
    # Without the shared library in sight, -lbdl is the archive.
    if [ -n "${4:-}" ]; then flags=${flags//-lbdl/$libdir/libbdl.a}; fi
    # shellcheck disable=SC2086 # flags are words
    $2 -Wall -Wextra -Werror "$3" -o "$1" $flags
}

has_rpath_to_build() { readelf -d "$1" | grep -E 'R(UN)?PATH' | grep -q "$BDL_BUILD_DIR"; }
not() { ! "$@"; }

run_example() { # NAME
    (cd "$tmp" && LD_LIBRARY_PATH=$libdir "./$1" | tee "$1.out")
}

# A static program that is found through PATH does not open a library that lies in the folder it is run in.
opens_nothing_here() {
    mkdir -p "$tmp/stranger"
    echo '__attribute__((constructor)) void opened(void);
        #include <stdio.h>
        void opened(void) { puts("a stranger was opened"); }' | ${CC:-cc} -shared -fPIC -x c - -o "$tmp/stranger/libbdl_dnnl.so" &&
        (cd "$tmp/stranger" && PATH=$tmp:$PATH doctor) > "$tmp/doctor.out" && grep '^kernels ' "$tmp/doctor.out" &&
        not grep 'a stranger' "$tmp/doctor.out"
}

# DESTDIR puts everything under a folder; the package must work there, which is also a move away from its prefix.
check destdir env DESTDIR="$tmp/dest" cmake --install "$BDL_BUILD_DIR" --prefix /opt/bdl
check prefix cmake --install "$BDL_BUILD_DIR" --prefix "$tmp/prefix"

for root in "$tmp/dest/opt/bdl" "$tmp/prefix"; do
    pc=$(find "$root" -name bdl.pc)
    libdir=$(dirname "$(dirname "$pc")")
    export PKG_CONFIG_PATH=$libdir/pkgconfig
    for language in c cpp; do
        if [ $language = c ]; then compiler="${CC:-cc} -std=c11"; else compiler="c++ -std=c++17"; fi
        for kind in shared static; do
            option=
            [ $kind = static ] && option=--static
            out=$tmp/${language}_$kind
            check "compile $language $kind by pkg-config" compile "$out" "$compiler" "$program/main.$language" $option
            check "run $language $kind by pkg-config" env LD_LIBRARY_PATH="$([ $kind = shared ] && echo "$libdir")" "$out"
        done
    done
    for name in tensor train predict; do # train writes the model that predict reads
        check "compile the example $name" compile "$tmp/$name" "${CC:-cc} -std=c11" "$BDL_SOURCE_DIR/examples/c/$name.c"
        check "run the example $name" run_example "$name"
    done
    check "the example predicts" grep -q '^\([89]\|10\) of 10 right$' "$tmp/predict.out"
    check "compile a program that looks for oneDNN" compile "$tmp/doctor" "${CC:-cc} -std=c11" "$program/doctor.c" --static
    check "it opens no library of the current folder" opens_nothing_here
    rm -rf "$tmp/cmake"
    check "configure by find_package" cmake -S "$program" -B "$tmp/cmake" -DCMAKE_PREFIX_PATH="$root"
    check "compile by find_package" cmake --build "$tmp/cmake"
    for name in c_bdl c_static cpp_bdl cpp_static; do
        check "run $name by find_package" "$tmp/cmake/$name"
    done
    check "no path of the build in libbdl.so" not has_rpath_to_build "$libdir/libbdl.so"
    check "no path of the build in bdl.pc" not grep -q "$tmp" "$pc"
    if [ -x "$BDL_BUILD_DIR/bin/bdl" ]; then
        check "the installed command runs" "$root/bin/bdl" version
    fi
done

# Folders of distributions that give absolute ones: bdl.pc and the command's path to the library still fit.
elsewhere() {
    cmake -S "$BDL_SOURCE_DIR" -B "$tmp/elsewhere" -DCMAKE_INSTALL_PREFIX=/opt/bdl -DCMAKE_INSTALL_LIBDIR=/opt/libs/bdl \
        -DCMAKE_INSTALL_INCLUDEDIR=/opt/headers -DBDL_ONEDNN=OFF -DBDL_TESTS=OFF -DCMAKE_C_COMPILER="${CC:-cc}" &&
        mkdir -p "$tmp/opt/libs/bdl/pkgconfig" "$tmp/opt/headers" &&
        cp "$tmp/elsewhere/generated/bdl.pc" "$tmp/opt/libs/bdl/pkgconfig" &&
        folder_is libdir "$tmp/opt/libs/bdl" && folder_is includedir "$tmp/opt/headers" &&
        grep -q 'ORIGIN/../../libs/bdl' "$tmp/elsewhere/cmake_install.cmake"
}
folder_is() { # VARIABLE FOLDER
    [ "$(realpath "$(PKG_CONFIG_PATH=$tmp/opt/libs/bdl/pkgconfig pkg-config --variable="$1" bdl)")" = "$2" ]
}
check "absolute folders" elsewhere

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
