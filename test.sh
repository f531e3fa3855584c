#!/bin/bash
# gmig's tests, in tiers.
# usage: ./test.sh [--full] [--soak [HOURS]] [--seed S] [--fuzz] [--faults [I/M]] [--coverage] [--mutate [N]] [--yes] [--limit S] [--only STAGE] [--list]
#   (none)   build, unit tests, native probe tests, ASan+UBSan, the lab with 2 and 4 nodes (under 20 minutes)
#   --full   and clang, TSan, clang-tidy, cppcheck, gcc -fanalyzer, structure, format, headers, mutants, packages, seven labs (under an hour with two processors: 47 to 58 minutes)
#   --soak   the native probe tests 20 times, every mutant, what compares times and counts in the lab, all topologies, and
#            what a native or another lab's case sees as well (a guest's ways to end, its signals); and random commands on
#            several guests for HOURS (ten minutes), the same ones with the same --seed (tests/soak/soak; in the lab, with
#            agents, libvirt and gmigd, tests/soak/host)
#   --fuzz   ten minutes of a processor for each fuzz target
#   --faults each kind of system call of a guest's life, of gmig, gmigd and the agent fails with each error of its manual page
#            (tests/fault/syscalls), calls are cut short (tests/fault/short), and processes are killed at random times (tests/fault/kills);
#            and unit tests run under valgrind: memcheck, and helgrind for the engine (tests/valgrind/run).
#            I/M: the I-th of M parts of all that; the labs' cases and hosts that are full are in each (1/50: 40 minutes with two idle processors)
#   --mutate  N (200) generated mutants of the engine, of which the unit tests must notice 85%
#   --coverage  what the unit tests and the native probes run of each file, and whether it is enough: pages in build/coverage/html
#   --seed   draws what --soak, --faults and --mutate draw: the same again with the same S, else 1 or one that a soak names (GMIG_SEED in the environment is the same)
#   --yes    install what is missing without asking       --only   one stage (--list names them), with the builds it needs
#   --limit  what is not done after so many seconds is ended, or not begun, and counts as failed: a verdict in time, with names
# GMIG_TIME_FACTOR=N in the environment: N times as long for each stage, on a slow machine.
# What passes at a second try only (a unit test: twice alone; a case whose lab broke: once) is named, for somebody to explain.
# Ends in a table, the verdict, and `N passed, N failed, N skipped`. Exit status 0: nothing failed.
set -u
cd "$(dirname "$(realpath "$0")")" || exit 1
. tests/stages.sh

tier=quick yes='' only='' list='' mutants=200 part=1 parts=1 soak_seconds=600 seed=${GMIG_SEED:-} most=''
while [ $# -gt 0 ]; do
	case $1 in
	--full) tier=full ;;
	--soak)
		tier=soak
		[[ ! ${2:-} =~ ^[0-9]+$ ]] || { soak_seconds=$(($2 * 3600)) && shift; }
		;;
	--seed)
		seed=${2:?--seed takes a number}
		shift
		;;
	--fuzz) tier=fuzz ;;
	--faults)
		tier=faults
		if [[ ${2:-} =~ ^([1-9][0-9]{0,3})/([1-9][0-9]{0,3})$ ]]; then
			part=${BASH_REMATCH[1]} parts=${BASH_REMATCH[2]}
			shift
			[ "$part" -le "$parts" ] || {
				echo "test.sh: --faults $part/$parts: there are only $parts parts" >&2
				exit 2
			}
		fi
		;;
	--coverage) tier=coverage ;;
	--mutate)
		tier=mutate
		[[ ! ${2:-} =~ ^[0-9]+$ ]] || { mutants=$2 && shift; }
		;;
	--yes) yes=--yes ;;
	--limit)
		[[ ${2:-} =~ ^[1-9][0-9]{0,5}$ ]] || {
			echo "test.sh: --limit takes seconds" >&2
			exit 2
		}
		most=$2
		shift
		;;
	--list) list=1 ;;
	--only)
		only=${2:?--only takes a stage}
		shift
		;;
	-h | --help)
		sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//p}' "$0"
		exit 0
		;;
	*)
		echo "test.sh: unknown option $1 (see --help)" >&2
		exit 2
		;;
	esac
	shift
done
[[ $seed =~ ^[0-9]{0,18}$ ]] || {
	echo "test.sh: --seed takes a number" >&2
	exit 2
}
[ -z "$seed" ] || [[ $tier =~ ^(full|soak|faults|mutate)$ ]] || [ "$seed" = "${GMIG_SEED:-}" ] || {
	echo "test.sh: --seed is for --soak, --faults, --mutate and --full: nothing else is drawn" >&2
	exit 2
}
[ -t 0 ] || yes=--yes
# As in a bare chroot.
[ -e /dev/fd/0 ] && [ -d /sys/kernel ] || {
	echo "test.sh: /proc, /sys and /dev have to be there as on a running system: mount --rbind them into a chroot" >&2
	exit 2
}

logs=build/test-logs
mkdir -p $logs
rows=() passed=0 failed=0 skipped=0 skips=() failures=() unsteady=()

# Each failed case in a line, with the first thing that was said of it; and that there was no time for more.
first_words_of() {
	awk '/^SLOW: /{slow=$0; sub(/^SLOW: /, "not ok ", slow); print slow; next} /^not ok /{if (name) print name; name=$0; next}
		name && /^    / {sub(/^ +/, ""); print name " - " substr($0, 1, 160); name=""}
		END {if (name) print name; if (!NR) print ""}' < <(grep -E '^(not ok |SLOW: |    )' "$1") | grep . || echo "not ok see $1"
}

# Each failed case with what it said (indented below it), or the end of the log where no case says "not ok". At the end
# of all, each is named again, with the first thing that was said of it.
show_failures() {
	local cases
	cases=$(awk '/^not ok /{p=1; print; next} p && /^    /{print; next} {p=0}' "$1" | head -n 120)
	printf '%s\n' "${cases:-$(tail -n 40 "$1")}"
	while read -r line; do
		failures+=("$2: ${line#not ok }")
	done < <(first_words_of "$1")
}

# Stages are noted first (stage, alone, filler) and run then, in two lanes side by side. Each builds what it needs by
# itself (need_build), so their order is a wish.
names=() limits=() calls=() alones=() fillers=()

# stage NAME LIMIT_S FUNCTION [ARG..]; alone: nothing else runs meanwhile; filler: it computes and waits for nothing, so
# that it may take what others leave of the processors, however little that is
stage() {
	[ -z "$only" ] || [ "$1" = "$only" ] || [ "$1" = packages ] || return 0
	names+=("$1") limits+=("$2") alones+=("${alone:-}") fillers+=("${filler:-}")
	shift 2
	calls+=("${env_only:+GMIG_ONLY=$env_only }$(printf '%q ' "$@")")
}

alone() {
	alone=1 stage "$@"
}

filler() {
	filler=1 stage "$@"
}

log_of() {
	echo "$logs/${1//[ \/]/-}.log"
}

# What the stage printed is in its log; a shell of its own, so that the limit ends the whole process group. The second
# argument: how many times as long it may take.
run_stage() {
	local name=${names[$1]} limit=$((${limits[$1]} * ${GMIG_TIME_FACTOR:-1} * ${2:-1})) log start=$SECONDS rc cpu cut=''
	local TIMEFORMAT='%U %S'
	log=$(log_of "$name")
	if [ -n "$most" ] && ((start + limit > most)); then
		limit=$((most - start)) cut="$most s of the whole run (--limit)"
		((limit > 0)) || {
			echo "SLOW: not begun: the $cut were over" >"$log"
			echo "124 0 0" >"$log.end"
			printf '   %s: not begun\n' "$name"
			return
		}
	fi
	printf '== %s\n' "$name"
	cpu=$({ time timeout -k 10 "$limit" bash -c ". tests/stages.sh; quick=$quick; ${calls[$1]}" >"$log" 2>&1 </dev/null; } 2>&1
		echo $?)
	rc=${cpu##*$'\n'}
	cpu=$(awk '{ printf "%d", $1 + $2 + 0.5; exit }' <<<"${cpu//,/.}")
	[ "$rc" -ne 124 ] ||
		echo "SLOW: not done within ${cut:-its $limit s; on a slow machine GMIG_TIME_FACTOR=2 doubles all limits}" >>"$log"
	echo "$rc $((SECONDS - start)) $cpu" >"$log.end"
	printf '   %s: %d s%s\n' "$name" $((SECONDS - start)) "$([ "$rc" -eq 0 ] || [ "$rc" -eq 77 ] || echo ", exit $rc")"
}

# Into rows and sums, in the order of the stages.
count_stage() {
	local name=${names[$1]} log rc seconds cpu counts p f s
	log=$(log_of "$name")
	read -r rc seconds cpu <"$log.end" || rc=1 seconds=0 cpu=0
	counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
	if [ -n "$counts" ]; then
		read -r p _ f _ s _ <<<"$counts"
		[ "$rc" -eq 0 ] || [ "$f" -gt 0 ] || f=1
	elif [ "$rc" -eq 77 ]; then
		p=0 f=0 s=1
		echo "skip $name - $(tail -n 1 "$log")" >>"$log"
	else
		p=$((rc == 0)) f=$((rc != 0)) s=0
	fi
	while read -r line; do
		skips+=("$name: ${line#skip }")
	done < <(grep -E '^skip ' "$log")
	grep -E '^the lab itself|^lab: [0-9]+ times slower' "$log" | sed "s/^/$name: /" | head -n 20
	while read -r line; do
		unsteady+=("$name: ${line#retry }")
	done < <(grep -E '^retry ' "$log")
	[ "$f" -eq 0 ] || show_failures "$log" "$name"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	rows+=("$(printf '%-34s %7d %7d %7d %7d %7d' "$name" "$seconds" "$cpu" "$p" "$f" "$s")")
}

is_lab() {
	[[ ${calls[$1]} == *stage_lab* || ${calls[$1]} == *stage_libvirt* || ${calls[$1]} == *stage_operator_path* ]]
}

# Which of the stages that nobody has begun a lane takes first: the lowest number. The first lane would rather have a lab, the
# second one anything else: beside a lab, a processor is free. Of two processors a lab needs the second one at times: there
# the other lane (idle) takes fillers only.
rank() {
	if [ "$2" = idle ]; then
		[ -n "${fillers[$1]}" ] && echo 0
	elif is_lab "$1"; then
		echo $(($2 == 1 ? 0 : 2))
	else
		echo $(($2 == 1 && ${#fillers[$1]} ? 2 : 1))
	fi
}

# take_stage FROM TO LANE: into `next`.
take_stage() {
	local i this best=9
	next=
	exec 8>"$logs/lock" && flock 8
	for ((i = $1; i < $2; i++)); do
		[ ! -e "$logs/begun.$i" ] && this=$(rank "$i" "$3") && ((this < best)) && next=$i best=$this
	done
	[ -z "$next" ] || : >"$logs/begun.$next"
	exec 8>&-
	[ -n "$next" ]
}

# The idle lane gives way to all others at once: it has a processor only while nobody else wants one.
lane() {
	local next times=1
	if [ "$3" = idle ]; then
		chrt --idle --pid 0 $BASHPID || return
		times=6
	fi
	while take_stage "$@"; do run_stage "$next" $times; done
}

# How many lanes, or `idle`. Beside anything that competes with it a lab takes two to five times as long on two processors.
lanes() {
	local free
	free=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo)
	if [ "$(nproc)" -ge 4 ] && [ "$free" -ge 10 ]; then
		echo "${GMIG_LANES:-2}"
	elif [ "$(nproc)" -ge 2 ] && [ "$free" -ge 6 ] && chrt --idle 0 true 2>/dev/null; then
		echo "${GMIG_LANES:-idle}"
	else
		echo "${GMIG_LANES:-1}"
	fi
}

run_stages() {
	local from=0 to i count
	count=$(lanes)
	rm -f "$logs"/begun.* "$logs"/*.end
	while [ $from -lt ${#names[@]} ]; do
		to=$((from + 1))
		if [ -n "${alones[$from]}" ]; then
			run_stage $from
		else
			while [ $to -lt ${#names[@]} ] && [ -z "${alones[$to]}" ]; do to=$((to + 1)); done
			if [ "$count" = idle ]; then lane $from $to idle & fi
			for ((i = 2; i <= ${count/idle/1}; i++)); do lane $from $to $i & done
			lane $from $to 1
			wait
		fi
		from=$to
	done
	for ((i = 0; i < ${#names[@]}; i++)); do count_stage $i; done
}

quick=
# shellcheck disable=SC2046 # two words or none
alone packages 1200 packaging/install-packages $yes build test lab $([ $tier = quick ] || echo lint package) $([[ ! $tier =~ ^(soak|coverage)$ ]] || echo $tier)
case $tier in
quick | full)
	[ $tier = full ] || quick=1
	alone "build gcc" 600 stage_build release
	stage "unit" 1200 stage_unit release
	stage "native probe" 1200 stage_probe
	stage "native bad input" 300 stage_bad_input
	stage "native examples" 600 stage_examples
	stage "native gmigd" 300 stage_gmigd
	filler "build asan" 600 stage_build asan
	stage "unit asan+ubsan" 1800 stage_unit asan
	stage "lab 2 nodes" 2400 stage_lab 2 "numa-cases two${quick:+,devices}" 6.12 --timeout $((2300 * ${GMIG_TIME_FACTOR:-1}))
	stage "lab 4 nodes" 1800 stage_lab 4 "numa-cases four" 6.12 --mem-per-node 1G
	;;
soak)
	alone "build gcc" 600 stage_build release
	stage "soak probe" 14400 stage_soak 20
	stage "soak commands" $((soak_seconds + 1200)) stage_soak_commands --seconds "$soak_seconds" ${seed:+--seed "$seed"}
	stage "soak blocks" 14400 stage_soak_commands --blocks 1000000 ${seed:+--seed "$seed"}
	stage "soak selftest" 3600 stage_soak_selftest
	stage "lab soak" $((soak_seconds + 3600)) stage_lab_soak --seconds "$soak_seconds" ${seed:+--seed "$seed"}
	stage "every mutant" 3600 stage_mutants
	stage "mutants that were missed" 3600 stage_mutate --fixed
	stage "build clang" 600 stage_build clang
	stage "unit clang" 1800 stage_unit clang
	stage "lab agent, stalls" 1800 stage_lab_agent "agent-cases stall"
	stage "lab libvirt" 2400 stage_libvirt stage_lab_agent libvirt-cases
	stage "lab gmigd" 3600 stage_libvirt stage_lab 2 gmigd-cases 6.12 --timeout $((3400 * ${GMIG_TIME_FACTOR:-1}))
	stage "lab fleet" 3600 stage_libvirt stage_lab 4 fleet-cases 6.12 --mem-per-node 1536M --timeout $((3400 * ${GMIG_TIME_FACTOR:-1}))
	stage "lab top" 2400 stage_libvirt stage_lab 4 top-cases 6.12 --cpus 4 --mem-per-node 1536M --timeout $((2300 * ${GMIG_TIME_FACTOR:-1}))
	stage "lab operator's path" 1800 stage_operator_path
	stage "lab side by side" 3600 stage_libvirt stage_lab_agent side-by-side --mem-per-node 2G --timeout $((3400 * ${GMIG_TIME_FACTOR:-1}))
	stage "lab topologies 6.1" 1800 stage_lab 2 "topologies --quick" 6.1
	stage "lab devices, all" 1800 stage_lab 2 device-cases 6.12
	stage "lab disks" 1800 stage_lab 2 "device-cases --disks" 6.12
	stage "lab balloon" 1800 stage_lab 2 "device-cases --balloon" 6.12
	stage "lab balloon, ten minutes" 2400 stage_lab 2 "device-cases --ten-minutes" 6.12 --timeout $((2300 * ${GMIG_TIME_FACTOR:-1}))
	env_only=every_device stage "lab devices 6.1" 1800 stage_lab 2 device-cases 6.1
	stage "lab newest guest" 1800 stage_lab_newest
	stage "lab memory" 1800 stage_lab 2 memory-cases 6.12
	stage "lab instructions" 1200 stage_lab 2 instruction-cases 6.12 --count-instructions
	stage "lab states" 7200 stage_lab 2 state-cases 6.12 --timeout $((7000 * ${GMIG_TIME_FACTOR:-1}))
	stage "native matrix" 1200 stage_matrix
	stage "debian packages, twice" 3600 stage_debian --twice
	stage "rpm packages" 1800 stage_rpm
	stage "lab matrix" 3600 stage_lab 2 matrix 6.12 --timeout $((3400 * ${GMIG_TIME_FACTOR:-1}))
	stage "lab clocks" 3600 stage_lab_clocks --timeout $((3400 * ${GMIG_TIME_FACTOR:-1}))
	stage "lab guest of 16 CPUs" 1800 stage_lab 2 "numa-cases wide" 6.12
	stage "lab others" 2400 stage_lab 2 "numa-cases others" 6.12
	stage "lab lazy" 1800 stage_lab 2 "numa-cases lazy" 6.12
	stage "lab heat" 1800 stage_lab 2 "numa-cases heat" 6.12
	stage "lab pages of 1G" 1200 stage_lab 2 "numa-cases giant" 6.12 --mem-per-node 3G --append "hugepagesz=1G hugepages=0:1,1:1"
	stage "lab offline" 1800 stage_lab 2 "numa-cases offline" 6.12 --mem-per-node 2G --append movablecore=2500M
	stage "lab swap" 900 stage_lab 2 "numa-cases swap" 6.12
	stage "guest image with the agent" 1200 stage_agent_image
	stage "lab workloads" 5400 stage_judges
	stage "newcomer, Debian 12" 7200 tests/integration/newcomer bookworm
	stage "newcomer, Debian 13" 7200 tests/integration/newcomer trixie
	stage "lab topologies, all" 2400 stage_lab 2 topologies 6.12 --mem-per-node 2560M
	;;
fuzz) stage "fuzz" 14400 stage_fuzz 600 ;;
faults)
	alone "build gcc" 600 stage_build release
	for scenario in $(tests/fault/syscalls --names); do
		stage "system calls, $scenario" 7200 stage_syscalls --scenario "$scenario" --share $((part - 1))/"$parts"
	done
	lives=$(((100 + parts - 1) / parts)) rounds=$(((1000 + parts - 1) / parts))
	# As many as half an hour has, and 30 rounds, or a part of that: a lab is slow.
	nodes_s=$((1800 / parts > 180 ? 1800 / parts : 180)) nodes_rounds=$(((30 + parts - 1) / parts))
	stage "lab gmigd, system calls" 3600 stage_lab_nodes 3500 tests/fault/syscalls --scenario gmigd-nodes,gmigd-taken-up --most 3 \
		--share $((part - 1))/"$parts" --seconds $nodes_s --seed "${seed:-1}"
	stage "lab gmigd, kills" 3600 stage_lab_nodes 3500 tests/fault/kills --only gmigd-nodes --first $(((part - 1) * nodes_rounds)) --rounds $nodes_rounds \
		--seed "${seed:-1}"
	stage "lab guests, system calls" 3600 stage_lab_nodes 3500 tests/fault/syscalls --jobs 1 --most 2 \
		--scenario host,host-small,host-kernel,host-kernel-small,host-memfd,host-hugetlb,host-plan,host-rebalance,host-drain,host-drain-dry \
		--share $((part - 1))/"$parts" --seconds $nodes_s --seed "${seed:-1}"
	stage "calls that are cut short" 7200 stage_short --first $(((part - 1) * lives)) --runs $lives --seed "${seed:-1}"
	stage "kills" 7200 stage_kills --first $(((part - 1) * rounds)) --rounds $rounds --seed "${seed:-1}"
	stage "full hosts, held threads" 900 stage_full
	stage "unit" 3600 stage_unit release
	stage "stalls" 3600 stage_stalls
	stage "lab 2 nodes" 2400 stage_lab 2 "numa-cases two" 6.12 --timeout $((2300 * ${GMIG_TIME_FACTOR:-1}))
	stage "lab offline" 1800 stage_lab 2 "numa-cases offline" 6.12 --mem-per-node 2G --append movablecore=2500M
	stage "lab swap" 900 stage_lab 2 "numa-cases swap" 6.12
	stage "lab others" 2400 stage_lab 2 "numa-cases others" 6.12
	stage "lab memory" 1800 stage_lab 2 memory-cases 6.12
	stage "memcheck" 10800 stage_valgrind --share $((part - 1))/"$parts"
	stage "helgrind" 10800 stage_valgrind --tool helgrind --share $((part - 1))/"$parts"
	;;
coverage)
	alone "build coverage" 1200 stage_build_coverage
	stage "unit coverage" 3600 stage_unit_coverage
	stage "native probe" 1800 stage_counted tests/integration/probe --quick
	stage "native bad input" 600 stage_counted tests/integration/bad-input
	stage "native gmigd" 600 stage_counted tests/integration/gmigd-cases
	alone "coverage" 1200 stage_coverage
	;;
mutate)
	alone "mutants that were missed" 3600 stage_mutate --fixed
	alone "generated mutants" $((3600 + mutants * 120)) stage_mutate --seed "${seed:-1}" "$mutants"
	;;
esac
if [ $tier = full ]; then
	stage "lab itself" 600 stage_lab_self
	stage "lab processes" 1800 stage_lab 2 process-cases 6.12
	stage "lab devices 6.12" 1800 stage_lab 2 "device-cases --quick" 6.12
	stage "lab agent" 1800 stage_lab_agent "agent-cases two+qemu+four"
	stage "lab host 6.1" 1800 stage_lab 2 "numa-cases old" 6.12 --kernel 6.1
	filler "build tsan" 600 stage_build tsan
	filler "warnings of clang" 600 stage_clang
	stage "unit tsan" 1800 stage_unit tsan
	stage "mutants" 900 stage_mutants no-wake no-putback copy-before-unmap copy-before-protect frame-counted-twice
	stage "fuzz" 900 stage_fuzz_smoke 10
	filler "model" 600 stage_model
	filler "mutants of the model" 600 stage_model_mutants
	filler "seeded races" 600 stage_races
	stage "system calls that fail" 600 stage_syscalls --scenario boot,huge --most 3 --share 5/20
	stage "calls that are cut short" 300 stage_short --scenario huge,small,prealloc-memfd,agent,gmig-migrate,gmig-doctor --runs 2 --seed "${seed:-1}"
	stage "daemons that are killed" 300 stage_kills --only gmigd,gmigd-stopped,agent,agent-stopped --rounds 10 --seed "${seed:-1}"
	stage "system calls of gmig that fail" 300 stage_syscalls --scenario gmig-list,gmig-migrate --most 1 --share 3/20
	stage "full hosts, held threads" 300 stage_full --seconds 1
	stage "system calls of gmigd that fail" 300 stage_syscalls --scenario gmigd-move,gmigd-round,gmigd-hook --most 1 --share 7/40
	filler "valgrind selftest" 600 stage_valgrind_selftest
	filler "headers alone" 300 stage_headers
	filler "structure" 300 stage_structure
	filler "format" 300 stage_format
	filler "clang-tidy" 900 stage_tidy
	filler "cppcheck" 600 stage_cppcheck
	filler "analyzer" 600 stage_analyzer
	filler "scripts and man pages" 300 stage_scripts
	filler "site" 300 stage_site
	stage "install and packages" 300 stage_package
fi
[ -z "$list" ] || {
	printf '%s\n' "${names[@]}"
	exit 0
}
run_stages
if [ -n "$only" ] && [[ ! "${rows[*]}" =~ (^|\ )"$only"\ +[0-9] ]]; then
	echo "test.sh: no stage '$only' in this tier (./test.sh --full --list names all)" >&2
	exit 2
fi

# CPU: seconds of all processors together; what others took is not in it.
printf '\n%-34s %7s %7s %7s %7s %7s\n' stage seconds CPU passed failed skipped
printf '%s\n' "${rows[@]}"
[ ${#skips[@]} -eq 0 ] || printf '\nSkipped:\n%s\n' "$(printf '  %s\n' "${skips[@]}")"
[ ${#unsteady[@]} -eq 0 ] || printf '\nPassed, but not at the first try (to be explained):\n%s\n' "$(printf '  %s\n' "${unsteady[@]}")"
[ ${#failures[@]} -eq 0 ] || printf '\nFailed:\n%s\n' "$(printf '  %s\n' "${failures[@]}")"
printf '\n'
if [ $failed -eq 0 ] && [ $passed -gt 0 ]; then
	verdict=PASS
else
	verdict=FAIL
fi
echo "VERDICT: $verdict ($passed passed, $failed failed, $skipped skipped)"
echo "$passed passed, $failed failed, $skipped skipped"
[ $verdict = PASS ]
