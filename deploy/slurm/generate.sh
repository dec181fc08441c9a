#!/usr/bin/env bash
# Generate a data set on a Slurm cluster: N jobs draw the texts, then one job writes the data set.
#
#     deploy/slurm/generate.sh N MODEL --count 1M [other options of `rnnlm generate`]
#
# All nodes need the same path to the project's folder (RNNLM_HOME, or the current folder) and
# `rnnlm` on the PATH. Slurm's own variables choose the rest: SBATCH_PARTITION, SBATCH_TIMELIMIT,
# SBATCH_ACCOUNT. Failed parts do not cost what is drawn: run the same command again.
set -euo pipefail

if [ $# -lt 2 ] || ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: $0 N MODEL --count COUNT [options of rnnlm generate]" >&2
    exit 2
fi
parts=$1
here=$(cd "$(dirname "$0")" && pwd)
drawing=$(sbatch --parsable --array="1-$parts" "$here/draw.sbatch" "$@")
writing=$(sbatch --parsable --dependency="afterok:$drawing" --kill-on-invalid-dep=yes \
    "$here/write.sbatch" "${@:2}")
echo "draw   job $drawing, $parts parts"
echo "write  job $writing, after all parts"
