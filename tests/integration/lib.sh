# Shared by the integration scripts: cases, counting, guests under a time limit. Source it; bash.
#
# A case is a function whose name says what is seen: `run_case NAME`. It succeeds, fails (non-zero; the text it wrote is
# shown) or calls `skip REASON`. Every script ends in `summary`, whose last line is `N passed, N failed, N skipped`.
# shellcheck shell=bash

set -u
integration=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
root=$(realpath "$integration/../..")
build=${GMIG_BUILD:-$root/build/release}
bin=$build/bin
export PATH=$bin:$PATH
# Guests here hold nothing of value: they migrate also on a kernel that `gmig doctor` finds unsafe.
export GMIG_UNSAFE_KERNEL=1

# How long to sleep between two looks. In the lab each look costs its second CPU, which the guest needs.
NAP=0.2
[ -z "${GMIG_IN_LAB:-}" ] || NAP=1
# A limit is how long a thing may take on a machine that does nothing else. A lab is slower, and it has measured by how much.
PATIENCE=1
[ -z "${GMIG_IN_LAB:-}" ] || PATIENCE=${GMIG_LAB_PATIENCE:-3}

passed=0 failed=0 skipped=0
work=$(mktemp -d "${TMPDIR:-/tmp}/gmig-test.XXXXXX")
said=$work/case.out # what the case that runs has said so far; nothing else writes there
# Root's closed nodes are not this host's: where sockets are root's own, /run/gmig, these are to be there, too.
export XDG_RUNTIME_DIR=$work/run GMIG_SYSTEM_DIR=$work/run/gmig
mkdir -m 700 "$XDG_RUNTIME_DIR"

cleanup() {
	kill_vms
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

skip() {
	echo "$*" >"$work/skip"
	exit 0
}

fail() {
	echo "$*"
	exit 1
}

# The guest triple-faulted, or panicked or stopped before its first line of user space, or stands still through no fault that gmig
# knows of (stands_still). Says which.
guest_broke() {
	grep -hos 'reason=triple-fault.*' "$said" "$work"/*.log | head -n 1 | grep . && return 0
	if [ -e "$work/still" ]; then
		cat "$work/still"
		return 0
	fi
	! grep -qsa 'GUEST-READY' "$work/console" "$work"/*.console || return 1
	grep -hsao 'Kernel panic.*' "$work/console" "$work"/*.console | head -n 1 | grep . && return 0
	grep -hos '^exit 124:.*' "$said" | head -n 1 | grep .
}

# run_case NAME [ARG..]: NAME is a function; it runs in a subshell with its output kept.
run_case() {
	local name=$1 title=$* start=$SECONDS rc broke
	[ -z "${GMIG_ONLY:-}" ] || [[ $title =~ $GMIG_ONLY ]] || return 0
	rm -f "$work/skip" "$work/still"
	[ -n "${keep_vms:-}" ] || rm -f "$work"/*.console "$work"/*.log "$work/console"
	("$@") >"$said" 2>&1
	rc=$?
	# In the lab QEMU itself breaks a guest now and then, mostly while it prints its first lines (docs/lab.md). Such a case is
	# tried once more, and the line below says so.
	if [ $rc -ne 0 ] && [ -n "${GMIG_IN_LAB:-}" ] && [ -z "${keep_vms:-}" ] && [ ! -e "$work/skip" ] && broke=$(guest_broke); then
		echo "retry $title - the guest broke: $broke"
		sed 's/^/    /' "$said" | tail -n 60
		kill_vms
		rm -f "$work"/*.console "$work/console" "$work/still"
		("$@") >"$said" 2>&1
		rc=$?
	fi
	[ -n "${keep_vms:-}" ] || kill_vms
	if [ -e "$work/skip" ]; then
		skipped=$((skipped + 1))
		echo "skip $title - $(cat "$work/skip")"
	elif [ $rc -eq 0 ]; then
		passed=$((passed + 1))
		echo "ok $title ($((SECONDS - start)) s)$(sed -n 's/^NOTE /: /p' "$said" | tr '\n' ' ')"
	else
		failed=$((failed + 1))
		echo "not ok $title"
		tail -n 120 "$said" | sed 's/^/    /'
	fi
}

summary() {
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" -eq 0 ]
}

# late WHAT LIMIT COMMAND..: says what became of a wait that has run out. COMMAND prints something that changes as long as the
# thing goes on; it is watched for LATE_SECONDS more, so that a machine that is slow is not taken for a fault.
late() {
	local what=$1 limit=$2 before now since=$SECONDS
	shift 2
	before=$("$@" 2>/dev/null)
	while ((SECONDS - since < ${LATE_SECONDS:-10 * PATIENCE})); do
		sleep $NAP
		now=$("$@" 2>/dev/null)
		if [ "$now" != "$before" ]; then
			echo "slow: $what; it still goes on, the limit was $limit s"
			return
		fi
	done
	echo "lost: $what; nothing has changed in $((SECONDS - since)) s after the limit of $limit s"
}

# Of a process and its children: the CPU time. A guest's VMM that waits for its vCPUs' end, or frees memory, uses some.
cpu_ticks_of() {
	local pid
	for pid in "$1" $(pgrep -P "$1"); do
		awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat"
	done
}

# progress_of NAME: what has come out of the guest, what it has swept and touched, what its jobs have moved.
progress_of() {
	stat -c %s "$work/$1.console" "$work/console"
	timeout $((20 * PATIENCE)) gmig show "$1" --json |
		jq -c '[.state, .probe.sweeps, [.vnodes[].resident], [.jobs[]? | .state, .moved_bytes]]'
}

# The end of a console or a log, without what means nothing.
tail_of() {
	tail -n 25 "$@" | tr -d '\r' | sed -f "$root/tests/lab/harmless.sed"
}

# Whatever a case left running: its pids are in files, since cases run in subshells. What is killed holds its name's lock
# until its memory is freed, and the next case has a guest of the same name.
kill_vms() {
	local file pid guests
	for file in "$work"/*.pid; do
		[ -e "$file" ] || continue
		pid=$(cat "$file")
		# The guest is timeout's child: killed alone, timeout would leave it behind.
		guests=$(pgrep -P "$pid")
		# Counters of a build for coverage are written at an orderly end.
		if [[ $build == */coverage ]]; then
			for pid in $guests; do kill -TERM "$pid" 2>/dev/null && wait_gone "$pid" 10; done
			pid=$(cat "$file")
		fi
		for pid in $guests $pid; do kill -KILL "$pid" 2>/dev/null; done
		for pid in $guests; do wait_gone "$pid" $((20 * PATIENCE)); done
		rm -f "$file"
	done
	rm -f "$XDG_RUNTIME_DIR"/gmig/*.sock
}

# vm NAME OPTION..: start gmig-vmm in the background and wait for its socket, and for a probe guest's first sweep, which
# fills its memory (not with VM_EARLY=1). Output in $work/NAME.log. A guest that is over its limit is ended at once; VM_GRACE
# seconds are for a case that has it power down.
vm() {
	local name=$1 since=$SECONDS
	shift
	timeout -k 5 "${VM_LIMIT:-$((300 * PATIENCE))}" gmig-vmm --name "$name" --grace "${VM_GRACE:-0}" \
		"$@" >"$work/$name.out" 2>"$work/$name.log" </dev/null &
	echo $! >"$work/$name.pid"
	while ((SECONDS - since < 180 * PATIENCE)); do
		# An error is an object, too: only a command that succeeded has said something of the guest.
		timeout $((5 * PATIENCE)) gmig show "$name" --json >"$work/vm" 2>/dev/null &&
			jq -e "${VM_EARLY:-0} == 1 or .probe.filled != false" "$work/vm" >/dev/null 2>&1 && return 0
		kill -0 "$(cat "$work/$name.pid")" 2>/dev/null || break
		sleep $NAP
	done
	if kill -0 "$(cat "$work/$name.pid")" 2>/dev/null; then
		late "gmig-vmm $name is not up" $((180 * PATIENCE)) progress_of "$name"
	else
		echo "gmig-vmm $name did not come up:"
	fi
	cat "$work/$name.log"
	return 1
}

# warm NAME: wait until the probe guest has touched all of its memory and swept it once.
warm() {
	local since=$SECONDS
	while ((SECONDS - since < 60 * PATIENCE)); do
		[ "$(show "$1" '([.vnodes[].bytes] | add) == ([.vnodes[].resident[]] | add) and .probe.sweeps > 0')" = true ] && return 0
		sleep $NAP
	done
	late "the guest has not touched all of its memory" $((60 * PATIENCE)) progress_of "$1"
	fail "$(show "$1" .vnodes)"
}

# pfn PID HVA: the host's page frame.
pfn() {
	perl -e 'open(my $f, "<", "/proc/$ARGV[0]/pagemap") or die; sysseek($f, $ARGV[1] / 4096 * 8, 0);
		sysread($f, my $b, 8) == 8 or die; print unpack("Q", $b) & ((1 << 55) - 1), "\n"' "$1" "$2"
}

# send NAME JSON: one command line to the socket, the answer on stdout.
send() {
	printf '%s\n' "$2" | timeout $((20 * PATIENCE)) socat -t $((15 * PATIENCE)) - "UNIX-CONNECT:$XDG_RUNTIME_DIR/gmig/$1.sock" | grep -m 1 -E '^\{"(return|error)"'
}

# The pid of gmig-vmm itself (timeout is its parent).
vm_pid() {
	show "$1" .pid
}

# show NAME FILTER: a value out of `gmig show --json`.
show() {
	local said rc
	said=$(timeout $((20 * PATIENCE)) gmig show "$1" --json 2>&1)
	rc=$?
	if [ $rc -ne 0 ]; then
		echo "gmig show: exit $rc: $said"
		return $rc
	fi
	jq -r "$2" <<<"$said"
}

# migrate NAME FROM TO [OPTION..]: the final JSON line on stdout; gmig's exit status.
migrate() {
	local name=$1 from=$2 to=$3 rc said=$work/migrate.$BASHPID limit=${MIGRATE_LIMIT:-$((120 * PATIENCE))}
	shift 3
	timeout "$limit" gmig migrate "$name" --from "$from" --to "$to" --json "$@" >"$said"
	rc=$?
	tail -n 1 "$said"
	# timeout has cancelled the job, which still knows what it had moved.
	[ $rc -ne 124 ] || show "$name" '.jobs[-1] | (if .moved_bytes > 0 then "slow" else "lost" end) +
		": gmig migrate has not ended, the limit was '"$limit"' s; " + tostring'
	return $rc
}

# The file of the guest's first region, for a peer (--memory memfd).
memory_file() {
	echo "/proc/$(vm_pid "$1")/fd/$(show "$1" '.regions[0].file.fd')"
}

quit_vm() {
	local name=$1 pid
	pid=$(cat "$work/$name.pid")
	timeout $((20 * PATIENCE)) gmig quit "$name" >/dev/null || return 1
	wait_gone "$pid" $((20 * PATIENCE)) && rm -f "$work/$name.pid"
}

wait_gone() {
	local pid=$1 limit=$2 i tasks
	for ((i = 0; i < limit * 10; i++)); do
		kill -0 "$pid" 2>/dev/null || return 0
		# A main thread is a zombie while others still hold the process's memory and locks.
		if grep -qs '^State:.*zombie' "/proc/$pid/status"; then
			tasks=("/proc/$pid/task"/*)
			[ ${#tasks[@]} -gt 1 ] || return 0
		fi
		sleep 0.1
	done
	late "process $pid is still there" "$limit" cpu_ticks_of "$pid"
	return 1
}

# healthy NAME: nothing lost, nobody asleep, invariants hold, and the guest still sweeps.
healthy() {
	local name=$1 before after i
	[ "$(show "$name" .probe.errors)" = 0 ] || fail "the guest found $(show "$name" .probe.errors) lost or misplaced writes"
	timeout $((60 * PATIENCE)) gmig check "$name" --json >"$work/check" || fail "gmig check: $(cat "$work/check")"
	timeout $((60 * PATIENCE)) gmig check "$name" --repair --json >"$work/check" || fail "gmig check --repair: $(cat "$work/check")"
	before=$(show "$name" .probe.sweeps)
	for ((i = 0; i < 300 * PATIENCE; i++)); do
		sleep 0.1
		after=$(show "$name" .probe.sweeps)
		[ "$after" -gt "$before" ] 2>/dev/null && break
	done
	if ! [ "$after" -gt "$before" ] 2>/dev/null; then
		fail "$(late "the guest does not sweep any more ($before sweeps)" $((30 * PATIENCE)) show "$name" .probe.sweeps)"
	fi
	for ((i = 0; i < 50 * PATIENCE; i++)); do
		[ "$(show "$name" .sleepers)" = 0 ] && return 0
		sleep 0.05
	done
	fail "$(show "$name" .sleepers) threads are still asleep"
}

need_kvm() {
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip "/dev/kvm is missing or not allowed"
}

# Only doctor's own "no" (exit 1) is a reason to skip; a doctor that breaks is a failure.
need_migration() {
	local rc
	need_kvm
	gmig doctor >"$work/doctor" 2>&1
	rc=$?
	[ $rc -ne 1 ] || skip "migration does not work here: $(grep -m 1 -iE 'userfaultfd|move' "$work/doctor")"
	[ $rc -eq 0 ] || fail "gmig doctor ended with $rc: $(cat "$work/doctor")"
}

# await_console NAME PATTERN SECONDS: wait until the guest's console, in $work/NAME.console, shows a line that matches.
await_console() {
	local name=$1 pattern=$2 limit=$(($3 * PATIENCE)) since=$SECONDS looked=$SECONDS moved=$SECONDS before='' now
	while ((SECONDS - since < limit)); do
		grep -qaE "$pattern" "$work/$name.console" 2>/dev/null && return 0
		kill -0 "$(cat "$work/$name.pid")" 2>/dev/null || break
		sleep $NAP
		((SECONDS - looked >= 10 * PATIENCE)) || continue
		looked=$SECONDS now=$(progress_of "$name" 2>&1)
		[ "$now" = "$before" ] || moved=$SECONDS
		before=$now
		((SECONDS - moved < ${STILL_SECONDS:-60 * PATIENCE})) || break
	done
	grep -qaE "$pattern" "$work/$name.console" 2>/dev/null && return 0
	if ! kill -0 "$(cat "$work/$name.pid")" 2>/dev/null; then
		echo "$name has ended without '$pattern' on its console:"
	elif ((SECONDS - since < limit)); then
		echo "lost: no '$pattern' on the console of $name; nothing has changed in $((SECONDS - moved)) s"
		stands_still "$name"
	else
		late "no '$pattern' on the console of $name" "$limit" progress_of "$name"
	fi
	tail_of "$work/$name.console" "$work/$name.log"
	return 1
}

# stands_still NAME: what gmig and the kernel know of a guest that does nothing any more: whether a thread is asleep on a page
# that moves, whether books agree, what each thread does. Where all of that is in order the guest's own kernel hangs, in the
# lab mostly through QEMU (docs/lab.md): that goes into $work/still, and the case may have another try.
stands_still() {
	local name=$1 pid sleepers running check
	pid=$(vm_pid "$name")
	sleepers=$(show "$name" .sleepers)
	running=$(show "$name" '[.jobs[]? | select(.state == "running" or .state == "paused")] | length')
	timeout $((60 * PATIENCE)) gmig check "$name" --json >"$work/check" 2>&1
	check=$?
	echo "asleep on pages that move: $sleepers, jobs that run: $running, gmig check: exit $check: $(cat "$work/check")"
	threads_of "$pid"
	sleep 2
	threads_of "$pid"
	if [ "$sleepers$running$check" = 000 ]; then
		echo "stands still: nobody is asleep on a page that moves, no job runs, gmig check finds nothing" >"$work/still"
	fi
}

# threads_of PID: of each thread its name, state, CPU time in ticks and where it waits in the kernel.
threads_of() {
	local task
	for task in "/proc/$1/task"/*; do
		echo "  $(cat "$task/comm") $(awk '{ sub(/^.*\) /, ""); print $1, $12, $13 }' "$task/stat") $(cat "$task/wchan")"
	done
}

# sums NAME: those of /fill, which a guest prints over and over.
# summing MIB SECONDS: for gmig.run= of a guest: MIB that are no zeroes, and their sum over and over, SECONDS after the last one.
# What is lost in a move is seen in it.
summing() {
	echo "exec:/bin/dd:if=/dev/urandom:of=/fill:bs=1M:count=$1,repeat,exec:/bin/md5sum:/fill,sleep:$2"
}

# sums NAME: those that the guest has printed.
sums() {
	tr -d '\r' <"$work/$1.console" | sed -n 's, */fill$,,p' | grep -E '^[0-9a-f]{32}$'
}

# more_sums NAME N: the guest has summed its memory N times more.
more_sums() {
	local name=$1 wanted since=$SECONDS
	wanted=$(($(sums "$name" | wc -l) + $2))
	while (($(sums "$name" | wc -l) < wanted)); do
		((SECONDS - since < 40 * (PATIENCE + 2) * $2)) ||
			fail "the guest has not summed its memory $2 times in $((SECONDS - since)) s: $(tail -n 5 "$work/$name.console")"
		sleep $NAP
	done
}

# The guest has checked its memory again, and found what it wrote. What is lost in a move is lost for good; a single sum that
# differs from all others is the lab's arithmetic (docs/lab.md), and told.
sums_agree() {
	local name=$1
	more_sums "$name" 1
	[ "$(sums "$name" | sort -u | wc -l)" != 1 ] || return 0
	more_sums "$name" 3
	[ "$(sums "$name" | sort | uniq -c | sort -rn | awk 'NR > 1 { n += $1 } END { print n + 0 }')" = 1 ] ||
		fail "the guest reads what it did not write: $(sums "$name" | uniq -c)"
	echo "NOTE one sum is wrong, those before and after are right: $(sums "$name" | uniq -c | tr -s ' \n' ' ')"
}

# For a script that is nothing without KVM: in a lab its absence is a failure, no skip.
need_kvm_here() {
	[ -w /dev/kvm ] || {
		echo "not ok /dev/kvm is missing in the lab"
		echo "0 passed, 1 failed, 0 skipped"
		exit 1
	}
}

# readme_lines HEADING [N]: the lines of README's N-th block below it (the first one), without what they say behind #.
readme_lines() {
	awk -v heading="$1" -v wanted="${2:-1}" '$0 == heading { found = 1; next }
		found && /^    / { if (!block) count++; block = 1; if (count == wanted) print substr($0, 5); next }
		{ block = 0 }
		found && (/^## / || count > wanted) { exit }' "$root/README.md" | sed 's/ *#.*//' | grep .
}
