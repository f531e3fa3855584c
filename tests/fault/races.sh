#!/bin/bash
# Each patch in races/ puts a data race into the shadow table; ThreadSanitizer has to report it in test_shadow_race, or a clean
# run of that proves nothing.
# usage: races.sh        exit 0: each was reported, and none without a patch; 77: this compiler has no ThreadSanitizer
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
limit=${RACE_SECONDS:-200}

libs=$(pkg-config --cflags --libs check liburcu liburcu-bp) || exit 1
echo 'int main(void) { return 0; }' >"$work/try.c"
# shellcheck disable=SC2086 # words
if ! ${CC:-cc} -fsanitize=thread "$work/try.c" -o "$work/try" 2>/dev/null || ! "$work/try"; then
	echo "skipped: ${CC:-cc} has no ThreadSanitizer that runs here"
	echo "0 passed, 0 failed, 1 skipped"
	exit 77
fi

# build TREE: the shadow table and its test, from a copy of the sources
build()
{
	mkdir -p "$1/tests" && cp -r "$root/migrate" "$1/" && cp -r "$root"/tests/{unit,support} "$1/tests/" || return
	[ $# -eq 1 ] || patch -s -d "$1" -p1 <"$2" || return
	# shellcheck disable=SC2086 # words
	${CC:-cc} -std=gnu11 -O1 -g -D_GNU_SOURCE -DGMIG_SANITIZED -fsanitize=thread -pthread "-I$1/tests/support" "$1/tests/unit/test_shadow_race.c" \
		"$1"/migrate/memory/shadow*.c "$1"/migrate/core/{hist,names,nodeset}.c -o "$1/test" $libs
}

# 0: clean; 66: a race was reported; else what the program ended with
run()
{
	TSAN_OPTIONS="halt_on_error=1 exitcode=66" CK_FORK=no timeout -k 2 "$limit" "$1/test" >"$1/log" 2>&1
}

result()
{
	if [ "$1" = 0 ]; then
		echo "ok   $2"
		passed=$((passed + 1))
	else
		echo "not ok $2"
		failed=$((failed + 1))
	fi
}

if ! build "$work/clean" 2>"$work/errors"; then
	head -5 "$work/errors"
	result 1 "without a race: it does not build"
else
	run "$work/clean"
	status=$?
	[ $status -eq 0 ] || tail -20 "$work/clean/log"
	result $status "without a race nothing is reported"
fi
for file in "$here"/races/*.patch; do
	name=$(basename "$file" .patch)
	if ! build "$work/$name" "$file" 2>"$work/errors"; then
		head -5 "$work/errors"
		result 1 "$name: the patch does not apply or build any more"
		continue
	fi
	run "$work/$name"
	# To ThreadSanitizer free() is a write. If it comes first, the report calls the read behind it a use after free.
	[ $? -eq 66 ] && grep -qE 'WARNING: ThreadSanitizer: (data race|heap-use-after-free)' "$work/$name/log"
	result $? "$name: $(grep -m1 'SUMMARY' "$work/$name/log" | sed -E 's#/[^ ]*/(migrate|tests)/#\1/#' || echo "no race was reported")"
done
echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]
