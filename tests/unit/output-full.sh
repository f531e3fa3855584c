#!/bin/bash
# output_on_a_full_device_ends_in_1: every program, --help and --version. usage: output-full.sh PROGRAM..
set -u
[ -w /dev/full ] || { echo "skipped: there is no /dev/full"; exit 77; }
failed=0
for program in "$@"; do
	for option in --help --version; do
		said=$("$program" "$option" 2>&1 >/dev/full)
		status=$?
		[ $status = 1 ] && [[ $said == *"cannot write the result: No space left on device"* ]] && continue
		echo "FAILED: $program $option ends in $status on a full device, says '$said'"
		failed=1
	done
done
exit $failed
