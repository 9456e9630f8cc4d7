#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The second part of `make demo`: the same network learns inside Apache Spark, on two executors that share the rows and the
# work. Everything it makes lies in build.
set -euo pipefail
cd "$(dirname "$0")/.."
requirements=examples/spark/requirements.txt

echo
if cmp -s $requirements build/venv-demo/requirements.txt; then
    echo "Now in Apache Spark."
else
    echo "Now in Apache Spark. This downloads these Python packages (about 600 MB, once) into build/venv-demo:"
    grep -v '^#' $requirements | tr '\n' ' '
    echo
fi
python=$(tools/make_venv demo $requirements)
export PYSPARK_PYTHON=$python PYTHONPATH=$PWD/bindings/python BDL_LIBRARY=$PWD/build/release/lib/libbdl.so SPARK_LOCAL_IP=127.0.0.1
echo "\$ python3 examples/spark/digits.py 'local-cluster[2,1,1024]' build/demo/spark_model"
"$python" examples/spark/digits.py 'local-cluster[2,1,1024]' build/demo/spark_model 2> >(grep --line-buffered '^bdl: ' >&2 || true) || {
    echo "the Spark demonstration failed; to see why: PYSPARK_PYTHON=$python PYTHONPATH=$PYTHONPATH $python examples/spark/digits.py" >&2
    exit 1
}
echo "\$ bdl eval build/demo/spark_model --data 'digits(count=4000)'"
build/release/bin/bdl eval build/demo/spark_model --data 'digits(count=4000)'
