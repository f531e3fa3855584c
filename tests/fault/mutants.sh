#!/bin/bash
# Each patch in mutants/ puts one deliberate bug into the engine; the tests must fail with it, or they prove nothing.
# usage: mutants.sh [--tested] [NAME..]     --tested: the tests have just passed here without a mutant, and are not run so. exit 0: every mutant was caught; 77: userfaultfd is not there
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0
limit=${MUTANT_SECONDS:-300} # for one test program

libs=$(pkg-config --cflags --libs check liburcu liburcu-bp numa) || exit 1

# Quick ones first: a mutant needs to be seen by one of them only.
programs="unit/test_books unit/test_claim unit/test_frame unit/test_rejoin unit/test_job unit/test_engine_jobs"
programs+=" unit/test_engine_work unit/test_pinned unit/test_swap unit/test_mover_swap unit/test_busy unit/test_lazy unit/test_lazy_parts unit/test_hugetlb unit/test_region unit/test_engine unit/test_job_work"
programs+=" fault/test_fault"

# compile SOURCE OBJECT
compile()
{
	${CC:-cc} -std=gnu11 -O1 -D_GNU_SOURCE -DGMIG_VERSION='""' -pthread "-I$root/tests/support" -c "$1" -o "$2"
}

export -f compile
export root

# compile_all: pairs of SOURCE and OBJECT, each ended by a zero byte, on stdin
compile_all()
{
	# shellcheck disable=SC2016 # for the inner shell
	xargs -0 -r -n 2 -P "$(nproc)" bash -c 'compile "$1" "$2"' compile
}

# Build the test programs of a source tree straight from its files: seconds, not minutes. What no patch changes is
# compiled once.
build()
{
	local tree=$1 source object test wrap
	mkdir -p "$tree/o"
	for source in "$tree"/migrate/*.c "$tree"/migrate/*/*.c "$tree"/tests/support/{suite,rig,host_tree}.c; do
		object=$(basename "$source" .c).o
		if [ -f "$work/clean/o/$object" ] && cmp -s "$source" "$work/clean/${source#"$tree"/}"; then
			cp "$work/clean/o/$object" "$tree/o/"
		else
			printf '%s\0%s\0' "$source" "$tree/o/$object"
		fi
	done >"$tree/sources"
	for test in $programs; do
		object=$work/$(basename "$test").o
		[ -f "$object" ] || printf '%s\0%s\0' "$tree/tests/$test.c" "$object"
	done >>"$tree/sources"
	compile_all <"$tree/sources" || return 1
	for test in $programs; do
		object=$work/$(basename "$test").o wrap=
		[ "$test" != unit/test_lazy ] || wrap=-Wl,--wrap=malloc # as in tests/unit/CMakeLists.txt
		# shellcheck disable=SC2086
		${CC:-cc} -pthread $wrap "$object" "$tree"/o/*.o -o "$tree/$(basename "$test")" $libs || return 1
	done
}

copy_tree()
{
	mkdir -p "$1/tests"
	cp -r "$root/migrate" "$1/" && cp -r "$root"/tests/{unit,support,fault} "$1/tests/"
}

# Run one program; ends it at its first failed test. 0: all passed.
run_one()
{
	local tree=$1 program=$2 pid status
	: >"$tree/tap"
	CK_TAP_LOG_FILE_NAME=$tree/tap timeout -k 2 "$limit" "$tree/$program" >"$tree/log" 2>&1 &
	pid=$!
	while kill -0 $pid 2>/dev/null; do
		if grep -q '^not ok' "$tree/tap"; then
			kill $pid 2>/dev/null
			break
		fi
		sleep 0.2
	done
	wait $pid
	status=$?
	grep -q '^not ok' "$tree/tap" && return 1
	return $status
}

# run_tests TREE PROGRAM..: 0: the tests pass, 77: they cannot run here, else they fail. Some programs need more than
# userfaultfd and may skip.
run_tests()
{
	local test status tree=$1
	shift
	for test; do
		run_one "$tree" "$(basename "$test")"
		status=$?
		[ $status -ne 77 ] || [ "$test" = unit/test_books ] || continue
		[ $status -eq 0 ] || return $status
	done
}

mutant()
{
	local name=$1 tree=$work/$1 status
	copy_tree "$tree"
	if ! patch -s -d "$tree" -p1 <"$here/mutants/$name.patch" || ! build "$tree" 2>"$tree/errors"; then
		echo "not ok $name: the patch does not apply or build any more"
		failed=$((failed + 1))
		return
	fi
	# shellcheck disable=SC2086 # words
	run_tests "$tree" $programs
	status=$?
	if [ $status -eq 0 ]; then
		echo "not ok $name: the tests did not notice"
		failed=$((failed + 1))
	elif [ $status -ge 124 ]; then
		echo "not ok $name: no test failed within $limit s"
		failed=$((failed + 1))
	else
		echo "ok   $name: $(grep -m1 '^not ok' "$tree/tap" | sed 's/.*:\([a-z_]*: \)/\1/' | cut -c1-110)"
		passed=$((passed + 1))
	fi
	rm -rf "$tree"
}

tested=
[ "${1:-}" != --tested ] || { tested=1 && shift; }
copy_tree "$work/clean" && build "$work/clean" || { echo "the engine does not build"; exit 1; }
if [ $# -eq 0 ]; then
	for file in "$here"/mutants/*.patch; do
		set -- "$@" "$(basename "$file" .patch)"
	done
fi
whole() { limit=600 CK_TIMEOUT_MULTIPLIER=3 run_tests "$@"; }
seen=$work/clean
if [ -n "$tested" ]; then
	# Can they run at all?
	whole "$work/clean" unit/test_books
	status=$?
else
	# The longest of them beside all others.
	mkdir "$work/longest" && ln "$work/clean/test_fault" "$work/longest/" || exit 1
	whole "$work/longest" fault/test_fault &
	# shellcheck disable=SC2086 # words
	whole "$work/clean" ${programs% *}
	status=$?
	wait $!
	longest=$?
	if [ $status -eq 0 ] && [ $longest -ne 77 ]; then
		status=$longest seen=$work/longest
	fi
fi
export CK_TIMEOUT_MULTIPLIER=0.25 # of a test's own limit; a test that hangs is one that fails
if [ $status -eq 77 ]; then
	echo "skipped: userfaultfd is not there"
	echo "0 passed, 0 failed, $# skipped"
	exit 77
elif [ $status -ne 0 ]; then
	echo "not ok without a mutant: exit $status"
	grep '^not ok' "$seen/tap" | sed 's/^/    /' | cut -c1-200
	tail -5 "$seen/log" | sed 's/^/    /'
	failed=1
else
	for name in "$@"; do
		mutant "$name"
	done
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
