#!/bin/bash
# gmig's tests, in tiers.
# usage: ./test.sh [--full] [--soak] [--fuzz] [--yes] [--only STAGE] [--list]
#   (none)   build, unit tests, native probe tests, ASan+UBSan, the lab with 2 and 4 nodes (under 20 minutes)
#   --full   and clang, TSan, clang-tidy, cppcheck, structure, format, headers, mutants, packages, every lab (under 60 minutes)
#   --soak   the native probe tests 20 times, every mutant, what compares times in the lab
#   --fuzz   ten minutes for each fuzz target
#   --yes    install what is missing without asking       --only   one stage (--list names them), with the builds it needs
# Ends in a table, the verdict, and `N passed, N failed, N skipped`. Exit status 0: nothing failed.
set -u
cd "$(dirname "$(realpath "$0")")" || exit 1
. tests/stages.sh

tier=quick yes='' only='' list=''
while [ $# -gt 0 ]; do
	case $1 in
	--full) tier=full ;;
	--soak) tier=soak ;;
	--fuzz) tier=fuzz ;;
	--yes) yes=--yes ;;
	--list) list=1 ;;
	--only)
		only=${2:?--only takes a stage}
		shift
		;;
	-h | --help)
		sed -n '2,10s/^# \{0,1\}//p' "$0"
		exit 0
		;;
	*)
		echo "test.sh: unknown option $1 (see --help)" >&2
		exit 2
		;;
	esac
	shift
done
[ -t 0 ] || yes=--yes

logs=build/test-logs
mkdir -p $logs
rows=() passed=0 failed=0 skipped=0 skips=() failures=()

# Each failed case with what it said (indented below it), or the end of the log where no case says "not ok". At the end
# of all, each is named again.
show_failures() {
	local cases
	cases=$(awk '/^not ok /{p=1; print; next} p && /^    /{print; next} {p=0}' "$1" | head -n 120)
	printf '%s\n' "${cases:-$(tail -n 40 "$1")}"
	while read -r line; do
		failures+=("$2: ${line#not ok }")
	done < <(grep -E '^not ok ' "$1" || echo "not ok see $1")
}

# stage NAME LIMIT_S FUNCTION [ARG..]
stage() {
	local name=$1 limit=$2 start=$SECONDS log rc counts p f s
	shift 2
	[ -z "$only" ] || [ "$name" = "$only" ] || [ "$name" = packages ] || return 0
	if [ -n "$list" ]; then
		echo "$name"
		return 0
	fi
	log=$logs/${name//[ \/]/-}.log
	printf '== %s\n' "$name"
	# A shell of its own, so that the limit ends the whole process group.
	timeout -k 10 "$limit" bash -c '. tests/stages.sh; quick=$1; shift; "$@"' stage "$quick" "$@" >"$log" 2>&1 </dev/null
	rc=$?
	counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -n 1)
	if [ -n "$counts" ]; then
		read -r p _ f _ s _ <<<"$counts"
		[ $rc -eq 0 ] || [ "$f" -gt 0 ] || f=1
	elif [ $rc -eq 77 ]; then
		p=0 f=0 s=1
		echo "skip $name - $(tail -n 1 "$log")" >>"$log"
	else
		p=$((rc == 0)) f=$((rc != 0)) s=0
	fi
	[ $rc -ne 124 ] || echo "TIME LIMIT of $limit s" >>"$log"
	while read -r line; do
		skips+=("$name: ${line#skip }")
	done < <(grep -E '^skip ' "$log")
	grep -E '^(skip|retry) |^the lab itself' "$log" | head -n 20
	[ "$f" -eq 0 ] || show_failures "$log" "$name"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	rows+=("$(printf '%-34s %7d %7d %7d %7d' "$name" $((SECONDS - start)) "$p" "$f" "$s")")
}

quick=
# shellcheck disable=SC2046 # two words or none
stage packages 1200 packaging/install-packages $yes build test lab $([ $tier = quick ] || echo lint package) $([ $tier != soak ] || echo soak)
case $tier in
quick | full)
	[ $tier = full ] || quick=1
	stage "build gcc" 600 stage_build release
	stage "unit" 600 stage_unit release
	stage "native probe" 1200 stage_probe
	stage "native bad input" 300 stage_bad_input
	stage "build asan" 600 stage_build asan
	stage "unit asan+ubsan" 900 stage_unit asan
	stage "lab 2 nodes" 1200 stage_lab 2 "numa-cases two" 6.12
	stage "lab 4 nodes" 1200 stage_lab 4 "numa-cases four" 6.12 --mem-per-node 1G
	;;
soak)
	stage "build gcc" 600 stage_build release
	stage "soak probe" 14400 stage_soak 20
	stage "every mutant" 3600 stage_mutants
	stage "lab agent, stalls" 1800 stage_lab_agent "agent-cases stall"
	stage "lab libvirt" 2400 stage_libvirt
	stage "lab swap" 900 stage_lab 2 "numa-cases swap" 6.12
	stage "guest image with the agent" 1200 stage_agent_image
	stage "lab topologies, all" 2400 stage_lab 2 topologies 6.12 --mem-per-node 2560M
	;;
fuzz) stage "fuzz" 14400 stage_fuzz 600 ;;
esac
if [ $tier = full ]; then
	stage "lab itself" 600 stage_lab_self
	stage "lab instructions" 600 stage_lab 2 instruction-cases 6.12 --count-instructions
	stage "lab processes" 1800 stage_lab 2 process-cases 6.12
	stage "lab topologies 6.12" 1200 stage_lab 2 "topologies --quick" 6.12
	stage "lab topologies 6.1" 1200 stage_lab 2 "topologies --quick" 6.1
	stage "lab devices 6.12" 1200 stage_lab 2 device-cases 6.12
	GMIG_ONLY=every_device stage "lab devices 6.1" 1200 stage_lab 2 device-cases 6.1
	stage "lab agent" 1500 stage_lab_agent "agent-cases two+qemu+four"
	stage "lab host 6.1" 600 stage_lab 2 "numa-cases old" 6.12 --kernel 6.1
	stage "build clang" 600 stage_build clang
	stage "unit clang" 900 stage_unit clang
	stage "build tsan" 600 stage_build tsan
	stage "unit tsan" 900 stage_unit tsan
	stage "mutants" 900 stage_mutants no-wake no-putback copy-before-unmap copy-before-protect frame-counted-twice
	stage "fuzz agent" 300 stage_fuzz_agent 60
	stage "headers alone" 300 stage_headers
	stage "structure" 120 stage_structure
	stage "format" 120 stage_format
	stage "clang-tidy" 900 stage_tidy
	stage "cppcheck" 600 stage_cppcheck
	stage "scripts and man pages" 120 stage_scripts
	stage "install and packages" 300 stage_package
fi
[ -z "$list" ] || exit 0
if [ -n "$only" ] && [[ ! "${rows[*]}" =~ (^|\ )"$only"\ +[0-9] ]]; then
	echo "test.sh: no stage '$only' in this tier (./test.sh --full --list names all)" >&2
	exit 2
fi

printf '\n%-34s %7s %7s %7s %7s\n' stage seconds passed failed skipped
printf '%s\n' "${rows[@]}"
[ ${#skips[@]} -eq 0 ] || printf '\nSkipped:\n%s\n' "$(printf '  %s\n' "${skips[@]}")"
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
