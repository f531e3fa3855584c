#!/bin/bash
# What the integration scripts say of a limit that ran out, and of a kernel's harmless lines. usage: limits.sh SOURCE_DIR
top=$1
# shellcheck source=tests/integration/lib.sh
. "$top/tests/integration/lib.sh"
NAP=0.05

expect() {
	# shellcheck disable=SC2053 # a pattern
	[[ $2 == $3 ]] || fail "$1: '$2' is not like '$3'"
}

counter() {
	echo x >>"$work/counter"
	wc -l <"$work/counter"
}

what_goes_on_is_slow() {
	expect slow "$(LATE_SECONDS=20 late "a guest is not up" 7 counter)" "slow: a guest is not up; it still goes on, the limit was 7 s"
}

what_has_stood_still_is_lost() {
	expect lost "$(LATE_SECONDS=1 late "a guest is not up" 7 echo 1)" \
		"lost: a guest is not up; nothing has changed in [1-9]* s after the limit of 7 s"
}

process_that_ends_is_not_waited_for() {
	(exit 0) &
	wait_gone $! 60 || fail "it has gone"
}

process_that_sleeps_is_lost() {
	sleep 100 &
	expect lost "$(LATE_SECONDS=1 wait_gone $! 1)" "lost: process $! is still there; nothing has changed *"
	kill $!
}

process_that_works_is_slow() {
	(while :; do :; done) &
	expect slow "$(LATE_SECONDS=20 wait_gone $! 1)" "slow: process $! is still there; *"
	kill $!
}

harmless_lines_are_marked_and_no_others() {
	local line
	printf '%s\n' '[    9.1] kvm: kvm [1]: vcpu0, guest rIP: 0xffffffff9ee9e458 Unhandled WRMSR(0xc0010007) = 0xffff' \
		'[    9.2] kvm_amd: kvm [1]: vcpu1, guest rIP: 0xfff0 Unhandled WRMSR(0x1d9) = 0x0' \
		'[    9.3] Memory failure: 0x27805: recovery action for dirty LRU page: Recovered' \
		'[    9.4] reboot: Power down' \
		'qemu-system-x86_64: terminating on signal 15 from pid 15501 (/bin/bash)' >"$work/harmless"
	tail_of "$work/harmless" >"$work/marked"
	while read -r line; do expect marked "$line" '*[(]harmless: *[)]'; done <"$work/marked"
	[ "$(wc -l <"$work/marked")" = 5 ] || fail "$(cat "$work/marked")"
	printf '%s\n' '[    9.1] kvm: kvm [1]: vcpu0, guest rIP: 0x12 Unhandled WRMSR(0x1d9) = 0x1' \
		'[    9.2] Memory failure: 0x27805: recovery action for dirty LRU page: Failed' \
		'[    9.3] Kernel panic - not syncing' >"$work/others"
	cmp "$work/others" <(tail_of "$work/others") || fail "$(tail_of "$work/others")"
}

run_case what_goes_on_is_slow
run_case what_has_stood_still_is_lost
run_case process_that_ends_is_not_waited_for
run_case process_that_sleeps_is_lost
run_case process_that_works_is_slow
run_case harmless_lines_are_marked_and_no_others
summary
