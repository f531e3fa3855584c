# The stages of test.sh: each prints what it likes and ends in a line `N passed, N failed, N skipped`, or is a plain
# command that passes or fails as one. Sourced by test.sh, which sets `top` and runs from there. bash.
# shellcheck shell=bash

# What ccache(1), where it is installed, has compiled before, here or in another clone, is not compiled again. cmake takes it from the environment for a
# tree that is new.
if command -v ccache >/dev/null && [ -z "${CMAKE_C_COMPILER_LAUNCHER:-}" ]; then
	export CMAKE_C_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
fi

# Stages run side by side: the first one that needs a build makes it, others wait.
stage_build() {
	mkdir -p build && flock "build/.lock-$1" sh -c 'cmake --preset "$0" >/dev/null && cmake --build --preset "$0"' "$1"
}

# For a stage that needs a build, which was made before it unless it runs alone (--only). Quiet unless it fails.
need_build() {
	local log
	log=$(stage_build "$1" 2>&1) || {
		printf '%s\n' "$log" | tail -n 60
		return 1
	}
}

# skip_reason TEST LOG: what a test that was skipped said last, in ctest's log of all output.
skip_reason() {
	awk -v name="$1" '
		/^[0-9]+\/[0-9]+ Testing: / { ours = $3 == name; text = 0 }
		ours && /^<end of output>/ { exit }
		ours && text && NF { last = $0 }
		ours && /^-+$/ { text = 1 }
		END { sub(/^skipped: /, "", last); print last ? last : "it does not say why" }' "$2"
}

# What a program that failed said, in ctest's output: failure_of TEST LOG
failure_of() {
	awk -v name="$1" '/^ *[0-9]+\/[0-9]+ Test +#/ { ours = $0 ~ " " name " " } /^ +Start / { ours = 0 } ours' "$2"
}

# Programs that failed beside others are run twice more, alone: unsteady OUT FAILED TEST_DIR. Who passes both times is unsteady, by
# its own fault or by ours: that is named in the summary and has to be explained, but says nothing of the change under test.
# What a sanitizer reports stands, and more than three failures are no accident. FAILED keeps those that stay.
unsteady() {
	local out=$1 failed=$2 dir=$3 name
	[ "$(wc -l <"$failed")" -le 3 ] || return 0
	while read -r name; do
		if ! failure_of "$name" "$out" | grep -qE 'Sanitizer|runtime error:' &&
			timeout 1300 ctest --test-dir "$dir" -R "^$name\$" --repeat until-fail:2 --timeout 600 >"$out.again" 2>&1; then
			echo "retry $name - failed beside others, passed twice alone: $(failure_of "$name" "$out" | grep -m 1 -E ':[FE]:|Exception|Timeout')"
		else
			echo "$name"
		fi
	done <"$failed" >"$failed.rest"
	grep '^retry ' "$failed.rest"
	grep -v '^retry ' "$failed.rest" >"$failed"
}

# Unit tests of a preset, or those that ctest's options (after a limit) choose; a test program that exits with 77 is skipped.
# Check prints its own cases; here a program counts.
stage_unit() {
	local preset=$1 out=build/$1/unit.log all=build/$1/unit.all failed=build/$1/unit.failed rc name threaded
	need_build "$preset" || return 1
	# Check's own limits are for an optimised build.
	export CK_TIMEOUT_MULTIPLIER=5
	# Those that ThreadSanitizer does not see must have no threads (tests/support/suite.c).
	if [ "$preset" = release ]; then
		export GMIG_THREADS_SEEN=$PWD/build/release/threads
		rm -rf "$GMIG_THREADS_SEEN" && mkdir -p "$GMIG_THREADS_SEEN" || return 1
	fi
	# Several programs are asleep most of the time: one more than there are processors.
	timeout "${2:-$((1800 * ${GMIG_TIME_FACTOR:-1}))}" ctest --test-dir "build/$preset" --parallel $(($(nproc) + 1)) --output-on-failure \
		--timeout 600 "${@:3}" >"$out" 2>&1
	rc=$?
	cp "build/$preset/Testing/Temporary/LastTest.log" "$all"
	sed -n 's/^ *[0-9]*\/[0-9]* Test *#[0-9]*: \([^ ]*\) .*\*\*\*\(Failed\|Timeout\|Exception\|Not Run\).*/\1/p' "$out" >"$failed"
	if [ -s "$failed" ] && [ $rc -ne 124 ]; then
		unsteady "$out" "$failed" "build/$preset"
		[ -s "$failed" ] || rc=0
	fi
	threaded=$([ "$preset" != release ] || sed -n '/^test_/p' tests/unit/unthreaded | while read -r name; do
		[ ! -e "build/release/bin/$name" ] || grep -qsx none "$GMIG_THREADS_SEEN/$name" || echo "$name"
	done)
	# shellcheck disable=SC2086 # names
	[ -z "$threaded" ] || {
		printf 'not ok %s\n    starts threads, or does not tell: take it out of tests/unit/unthreaded\n' $threaded
		rc=1
	}
	while read -r name; do
		failure_of "$name" "$out" | sed '1s/^.*Test *#[0-9]*: /not ok /; 2,$s/^/    /'
	done <"$failed"
	sed -n 's/^ *[0-9]*\/[0-9]* Test *#[0-9]*: \([^ ]*\) .*\*\*\*Skipped.*/\1/p' "$out" |
		while read -r name; do
			echo "skip $name - $(skip_reason "$name" "$all")"
		done
	# A case that could not run says so in a line of its own, which only the log of all output has.
	grep '^skip ' "$all" | tee -a "$out"
	awk -v f="$(wc -l <"$failed")" -v t="$(wc -w <<<"$threaded")" '/ Passed /{p++} /\*\*\*Skipped|^skip /{s++} /\*\*\*(Failed|Timeout|Exception|Not Run)/{all++}
		END { printf "%d passed, %d failed, %d skipped\n", p + all - f, f + t, s }' "$out"
	return $rc
}

stage_probe() {
	need_build release && tests/integration/probe ${quick:+--quick}
}

stage_matrix() {
	need_build release && GMIG_MATRIX_MIB=256 tests/integration/matrix
}

# What README, tutorial, how-tos and manual pages tell people to type.
stage_examples() {
	need_build release && tests/integration/examples
}

stage_gmigd() {
	need_build release && tests/integration/gmigd-cases
}

stage_bad_input() {
	need_build release && tests/integration/bad-input
}

# in_lab OPTION.. -- COMMAND..: in a lab with two CPUs. A lab that breaks (125) says nothing about gmig: QEMU's threads race with a
# kernel's patching of its own code, and seldom that ends in a panic (docs/lab.md). It is tried again, in plain sight.
in_lab() {
	local rc try
	for try in first second third; do
		tests/lab/lab --cpus 2 "$@"
		rc=$?
		[ $rc -ge 124 ] || break
		echo "the lab itself ended with $rc in its $try try"
		[ $rc -eq 125 ] || break
	done
	return $rc
}

# Cases in the lab: stage_lab NODES "CASES [ARG..]" GUEST_KERNEL LAB_OPTION..; CASES is a script of tests/integration, which
# gets the guest's kernel and initrd after its own arguments. GUEST_ADDS, words, are programs for the initrd, GUEST_DIR is
# where it goes.
stage_lab() {
	local nodes=$1 cases=$2 guest=$3 paths rc
	shift 3
	need_build release || return 1
	# shellcheck disable=SC2086 # words
	paths=$(flock build/.lock-guest tests/lab/guest --kernel "$guest" --out "${GUEST_DIR:-build/guest}" ${GUEST_ADDS:-}) || {
		rc=$?
		echo "the guest for the lab could not be made"
		return $rc
	}
	# shellcheck disable=SC2086 # words
	in_lab --nodes "$nodes" --timeout $((1700 * ${GMIG_TIME_FACTOR:-1})) "$@" -- tests/integration/$cases $paths
}

# The newest kernel that the configured suites have, unless the other stages boot that one anyway.
stage_lab_newest() {
	mkdir -p build && flock build/.lock-guest tests/lab/guest --kernel newest --out build/guest >/dev/null &&
		flock build/.lock-guest tests/lab/guest --kernel 6.12 --out build/guest >/dev/null || return
	if cmp -s build/guest/vmlinuz-newest build/guest/vmlinuz-6.12; then
		echo "the newest kernel of the configured suites is 6.12, which the other labs boot"
		return 77
	fi
	stage_lab 2 "numa-cases newest" newest
}

# The guest agent: stage_lab_agent "CASES [ARG..]" LAB_OPTION... Its guest has the agent, what it moves, and migratepages in it.
stage_lab_agent() {
	local cases=$1 tool GUEST_DIR=build/guest-agent GUEST_ADDS=
	shift
	need_build release || return 1
	mkdir -p $GUEST_DIR && strip -o $GUEST_DIR/gmig-agent build/release/bin/gmig-agent || return 1
	tool=$(PATH=$PATH:/usr/sbin:/sbin command -v migratepages) || {
		echo "migratepages is not installed (package numactl)"
		return 77
	}
	GUEST_ADDS="--add $GUEST_DIR/gmig-agent:/bin/gmig-agent --add build/release/tests/agent-load:/bin/agent-load"
	GUEST_ADDS+=" --add tests/integration/agent-guest:/bin/agent-guest --add $tool:/bin/migratepages"
	stage_lab 2 "$cases" 6.12 "$@"
}

stage_lab_clocks() {
	local GUEST_DIR=build/guest-clocks GUEST_ADDS="--add build/release/tests/clock-watch:/bin/clock-watch"
	need_build release && stage_lab 2 clock-cases 6.12 "$@"
}

# What runs under libvirt: stage_libvirt STAGE ARG.., STAGE one of the two above.
stage_libvirt() {
	[ -x /usr/sbin/libvirtd ] || {
		echo "libvirtd is not installed"
		return 77
	}
	"$@"
}

# The image of examples/agent-image, made and booted. Needs the network, and root to make it.
stage_agent_image() {
	local dir=build/agent-image
	[ "$(id -u)" = 0 ] || {
		echo "the image can only be made by root"
		return 77
	}
	command -v mmdebstrap >/dev/null || {
		echo "mmdebstrap is not installed"
		return 77
	}
	need_build release && (cd build/release && cpack >/dev/null) && examples/agent-image $dir >/dev/null || return 1
	tests/lab/lab --nodes 2 --cpus 2 --mem-per-node 2G --timeout 900 -- tests/integration/agent-image $dir
}

# What checks its own work, in a Debian guest whose memory moves all the time. Needs the network, and root to make the image.
stage_judges() {
	local dir=build/judges rc
	[ "$(id -u)" = 0 ] || {
		echo "the image can only be made by root"
		return 77
	}
	need_build release || return 1
	tests/lab/judges-image $dir >/dev/null || {
		rc=$?
		echo "the image could not be made"
		return $rc
	}
	tests/lab/lab --nodes 2 --cpus 2 --mem-per-node 2G --timeout $((5200 * ${GMIG_TIME_FACTOR:-1})) -- tests/integration/judge-cases $dir
}

# README's chapter for hosts with libvirt, with the packages as cpack makes them.
stage_operator_path() {
	need_build release && (cd build/release && rm -f ./*.deb && cpack >/dev/null) && stage_libvirt stage_lab 2 operator-path 6.12
}

stage_lab_self() {
	tests/lab/selftest
}

# Our own files by name, whether this is a clone or an unpacked archive: sources PATTERN
sources() {
	find . \( -path ./build -o -path ./.git \) -prune -o -type f -name "$1" -printf '%P\n' | sort
}

# One line "ok FILE" or "not ok FILE" for each, and below that what a tool said of it: indented, as show_failures wants it.
verdict_of_files() {
	sed -E '/^ok /d; /^not ok /!s/^/    /' "$1"
	echo "$(grep -c '^ok ' "$1") passed, $(grep -c '^not ok ' "$1") failed, 0 skipped"
	! grep -q '^not ok ' "$1" && grep -q '^ok ' "$1"
}

stage_headers() {
	local out=build/headers.out of_libraries
	mkdir -p build
	of_libraries=$(pkg-config --cflags libxml-2.0)
	# shellcheck disable=SC2016 # for the inner shell
	for compiler in gcc clang; do sources '*.h' | sed "s/^/$compiler /"; done | xargs -P "$(nproc)" -L 1 sh -c \
		'said=$(echo "#include \"$2\"" | "$1" $0 -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I. -fsyntax-only -x c - 2>&1) &&
			echo "ok $1 $2" || printf "not ok %s %s\n%s\n" "$1" "$2" "$said"' "$of_libraries" >$out
	verdict_of_files $out
}

# No circles, arrows between rooms, sizes; and does what looks for them see them?
stage_structure() {
	local self
	tests/fault/patches-apply && need_build release || return 1
	for self in structure/selftest structure/unit-selftest structure/run-selftest structure/abi-selftest coverage/selftest fault/mutate-selftest soak/host-selftest; do
		tests/$self >build/structure.log || { cat build/structure.log && return 1; }
	done
	tests/structure/check
}

# Debian 12 has clang-format 14, Debian 13 has 19: they agree on this tree, others may not.
stage_format() {
	local tool version done='' good=0 bad=0
	for tool in clang-format clang-format-14 clang-format-19; do
		version=$("$tool" --version 2>/dev/null | sed -n 's/.*version \([0-9]*\)\..*/\1/p')
		[[ $version =~ ^(14|19)$ && $version != "$done" ]] || continue
		done=$version
		# shellcheck disable=SC2046 # names
		if "$tool" --dry-run -Werror $(sources '*.[ch]'); then
			good=$((good + 1))
		else
			echo "not ok $tool $version"
			bad=$((bad + 1))
		fi
	done
	if [ $((good + bad)) -eq 0 ]; then
		echo "clang-format is version ${version:-none}: only 14 and 19 are known to format this tree alike"
		return 77
	fi
	echo "$good passed, $bad failed, 0 skipped"
	[ $bad -eq 0 ]
}

# The build for TSan has clang compile and link nearly all, with all its warnings. This is what is not in it, and what the preprocessor makes something else of
# where there is no sanitizer: files that ask for one, and those of the engine, whose headers do.
stage_clang() {
	local out=build/clang.out
	mkdir -p build && flock build/.lock-clang cmake --preset clang >/dev/null && flock build/.lock-tsan cmake --preset tsan >/dev/null || return 1
	jq -r '.[].file' build/tsan/compile_commands.json | sort -u | grep -v '/migrate/' | xargs grep -LE 'GMIG_SANITIZED|GMIG_INSTRUMENTED' | sort >build/clang.known
	# shellcheck disable=SC2016 # for the inner shell
	jq -r --rawfile known build/clang.known '($known | split("\n")) as $done | .[] | select(.file | endswith(".c")) | select(.file as $f | $done | index($f) | not) |
		.directory, .file, .command' build/clang/compile_commands.json | tr '\n' '\0' | xargs -0 -P "$(nproc)" -n 3 sh -c \
		'cd "$0" && said=$(eval "$2 -fsyntax-only" 2>&1) && echo "ok $1" || printf "not ok %s\n%s\n" "$1" "$said"' >$out
	verdict_of_files $out
}

stage_tidy() {
	local out=build/tidy.out
	mkdir -p build && flock build/.lock-clang cmake --preset clang >/dev/null || return 1
	# As many at a time as there are processors: one file takes seconds.
	# shellcheck disable=SC2016 # for the inner shell
	sources '*.c' | grep -vE '^(tests|examples)/' | xargs -P "$(nproc)" -I{} sh -c \
		'said=$(clang-tidy --quiet -p build/clang "$1" 2>/dev/null) && echo "ok $1" || printf "not ok %s\n%s\n" "$1" "$said"' tidy {} >$out
	verdict_of_files $out
}

stage_cppcheck() {
	cppcheck --quiet -j "$(nproc)" --std=c11 --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppressions-list=.cppcheck --library=tests/cppcheck.cfg -D_GNU_SOURCE migrate control placement vmm cli guestagent libvirt-hooks tests/bench
}

# What gcc -fanalyzer says of the product, but for what is listed with the reason why it is wrong.
stage_analyzer() {
	mkdir -p build && flock build/.lock-release cmake --preset release >/dev/null || return 1
	tests/analyzer/run
}

stage_scripts() {
	local scripts
	scripts=$(sources '*' | while read -r f; do head -c 64 "$f" | grep -aqE '^#!/bin/(ba)?sh' && echo "$f"; done)
	# shellcheck disable=SC2086 # a list
	shellcheck -x $scripts || return 1
	for page in docs/*.[0-9]; do
		mandoc -T lint -W warning "$page" || return 1
	done
	tests/structure/links || return 1
	# Words that are right and look wrong to it: a name of the kernel's, a macro of manual pages, to and fro.
	codespell -L damon,damons,hel,refreshs,nd,fro,thre,truns,want\'s --skip '*.txt,*/corpus/*,*.dict,./build' README.md CONTRIBUTING.md SECURITY.md \
		CHANGELOG.md docs examples packaging migrate control vmm cli guestagent libvirt-hooks placement tests
}

# The site of docs/ without a warning, all links followed; and are a dead link and a document that no chapter has seen?
stage_site() {
	local tree=build/site-tree out=build/release/site bad
	flock build/.lock-release cmake --preset release >build/site.log || return 1
	if grep 'there is no target `site`' build/site.log; then
		return 77
	fi
	cmake --build --preset release --target site || return 1
	[ -s $out/docs/gmig.1.html ] && grep -q putback $out/searchindex.js || return 1
	# The library's reference: by Sphinx's search, and Doxygen's pages of it with their own.
	grep -q gmig_map_part $out/searchindex.js && [ -s $out/reference/html/gmig_8h.html ] && [ -d $out/reference/html/search ] || return 1
	rm -rf $tree && cp -r $out $tree || return 1
	echo '<a href="nowhere.html">x</a><a href="index.html#nowhere">y</a><img src="https://elsewhere.example/z.png">' >>$tree/index.html
	bad=$(docs/site/prepare --check $tree)
	[ "$(grep -c '^not ok index.html' <<<"$bad")" = 3 ] || { echo "mistakes are not seen: $bad" && return 1; }
	docs/site/prepare $tree && echo '# Lost' >$tree/docs/lost.md || return 1
	! GMIG_VERSION=0 sphinx-build -q -n -W -b dummy $tree build/site-lost 2>build/site.log || return 1
	grep -q lost.md build/site.log
}

# The model of an entry's life: searched, and its table compared with the C table; and does the comparison see a difference?
stage_model() {
	local selftest
	selftest=$(tests/model/selftest) || {
		echo "$selftest"
		return 1
	}
	tests/model/run
}

stage_model_mutants() {
	tests/model/run --mutants
}

# What this run of test.sh has seen pass in its stage "unit" is not run once more without a mutant.
stage_mutants() {
	if [ "$(cut -d' ' -f1 build/test-logs/unit.log.end 2>/dev/null)" = 0 ]; then
		set -- --tested "$@"
	fi
	tests/fault/mutants.sh "$@"
}

# System calls that fail, hosts that are full, and processes that are killed: with a guest, so that they need KVM and migration.
stage_syscalls() {
	need_build release && with_guests tests/fault/syscalls "$@"
}

stage_full() {
	need_build release && with_guests tests/fault/full "$@"
}

# gmigd between nodes of the lab's own: system calls that fail, and kills. stage_lab_nodes LIMIT_S COMMAND..
stage_lab_nodes() {
	need_build release && in_lab --nodes 2 --timeout $(($1 * ${GMIG_TIME_FACTOR:-1})) -- "${@:2}"
}

# Calls that are done in part, or interrupted.
stage_short() {
	need_build release && with_guests tests/fault/short "$@"
}

stage_stalls() {
	need_build release && tests/fault/stalls "$@"
}

stage_kills() {
	need_build release && with_guests tests/fault/kills "$@"
}

with_guests() {
	[ -w /dev/kvm ] && build/release/bin/gmig doctor >build/doctor || {
		echo "no KVM here, or migration does not work: gmig doctor says why"
		return 77
	}
	"$@"
}

stage_mutate() {
	tests/fault/mutate "$@"
}

# Unit tests under valgrind, and does it see what it is there for?
stage_valgrind() {
	command -v valgrind >/dev/null || {
		echo "valgrind is not installed"
		return 77
	}
	need_build release && tests/valgrind/run "$@"
}

stage_valgrind_selftest() {
	tests/valgrind/selftest
}

# What ThreadSanitizer has to see.
stage_races() {
	tests/fault/races.sh
}

# /run/gmig is there from the boot on, for all to pass and for root to write.
stage_package_host() {
	local root=$PWD/build/stage-host
	rm -rf "$root" && dpkg-deb -x "$1" "$root" || return 1
	command -v systemd-tmpfiles >/dev/null || {
		echo "skip /run/gmig by tmpfiles.d - systemd-tmpfiles is not installed"
		return 0
	}
	[ "$(id -u)" = 0 ] || {
		echo "skip /run/gmig by tmpfiles.d - systemd-tmpfiles is root's"
		return 0
	}
	systemd-tmpfiles --root="$root" --create gmig.conf && [ "$(stat -c '%A %U' "$root/run/gmig")" = "drwx--x--x root" ]
}

# The guest's package: static, under 2 MiB, with its allow-list in /etc, and nothing of the host's.
stage_package_agent() {
	local deb root=build/stage-agent
	deb=$(find build/release -maxdepth 1 -name 'gmig-agent_*.deb' | head -n 1)
	rm -rf "$root" && dpkg-deb -x "$deb" "$root" || return 1
	[ "$(stat -c %s "$root/usr/sbin/gmig-agent")" -lt 2097152 ] || return 1
	! readelf -d "$root/usr/sbin/gmig-agent" | grep -q NEEDED || return 1
	[ -e "$root/usr/lib/systemd/system/gmig-agent.service" ] && [ ! -e "$root/usr/bin" ] || return 1
	dpkg-deb -I "$deb" conffiles | grep -qx /etc/gmig/agent.conf || return 1
	"$root/usr/sbin/gmig-agent" --config "$root/etc/gmig/agent.conf" --check-config
}

# The host's package for libvirt: content, and maintainer scripts in throw-away roots. Its lines are those of integration scripts.
stage_package_libvirt() {
	local deb
	deb=$(find build/release -maxdepth 1 -name 'gmig-libvirt_*.deb' | head -n 1)
	if [ -z "$deb" ]; then
		echo "skip gmig-libvirt - it is not built: cmake says which library is missing"
		return 0
	fi
	tests/integration/package-cases "$deb"
}

# The installed library gives a program that links it no names but gmig_*, and those: only_gmig_symbols ARCHIVE..
only_gmig_symbols() {
	local archive names found=1
	for archive in "$@"; do
		[ -e "$archive" ] || continue
		names=$(nm -g --defined-only "$archive" | awk 'NF == 3 { print $3 }') || return 1
		! grep -v '^gmig_' <<<"$names" || return 1
		grep -qx gmig_job_start <<<"$names" && found=0
	done
	return $found
}

# The library's packages, unpacked into one root: content, what dpkg makes of the exported symbols, and programs that use
# it shared and static, by pkg-config.
stage_package_library() {
	local root=$PWD/build/stage-library lib deb flags example version
	rm -rf "$root" build/control && mkdir -p build/control || return 1
	for deb in build/release/libgmig{0,-dev}_*.deb; do
		dpkg-deb -x "$deb" "$root" || return 1
	done
	dpkg-deb -e build/release/libgmig0_*.deb build/control || return 1
	version=$(dpkg-deb -f build/release/libgmig0_*.deb Version)
	grep -qx 'libgmig 0 libgmig0 (>= .*)' build/control/shlibs && grep -q ldconfig build/control/triggers || return 1
	cmp build/control/symbols packaging/lib/symbols || return 1
	lib=$(dirname "$(find "$root" -name libgmig.so.0)")
	[ "$(readlink "$lib/libgmig.so")" = libgmig.so.0 ] || return 1
	! dpkg-deb -c build/release/libgmig0_*.deb | grep -v '/$' | grep -vE 'libgmig\.so\.0|usr/share/doc/libgmig0/' || return 1
	# -c4: a symbol that went or came is an error.
	dpkg-gensymbols -plibgmig0 -v"$version" -Ipackaging/lib/symbols -e"$lib/libgmig.so.0" -O/dev/null -c4 || return 1
	flags=$(PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --cflags --libs gmig) || return 1
	for example in move table device; do
		# shellcheck disable=SC2086 # flags
		gcc -Wall -Werror -o build/example-shared examples/$example.c -pthread $flags || return 1
		readelf -d build/example-shared | grep -q 'NEEDED.*libgmig\.so\.0' || return 1
		LD_LIBRARY_PATH=$lib timeout 60 build/example-shared || [ $? -eq 77 ] || return 1
	done
	flags=$(PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --static --cflags --libs gmig) || return 1
	# shellcheck disable=SC2086 # flags
	gcc -Wall -Werror -static -o build/example-static examples/table.c -pthread $flags || return 1
	timeout 60 build/example-static || [ $? -eq 77 ]
}

# The reference has a text for each function that is exported, and its test sees one that has none.
stage_package_reference() {
	local deb root=build/stage-reference empty
	deb=$(find build/release -maxdepth 1 -name 'libgmig-doc_*.deb' | head -n 1)
	if [ -z "$deb" ]; then
		echo "skip libgmig-doc - it is not built: cmake says what is missing"
		return 0
	fi
	rm -rf "$root" && dpkg-deb -x "$deb" "$root" || return 1
	tests/structure/reference "$root/usr/share/doc/libgmig-doc/html" || return 1
	empty=$(grep -l 'gmig_job_cancel()' "$root"/usr/share/doc/libgmig-doc/html/group__*.html) || return 1
	sed -i '/class="memdoc"/,/<\/div>/s/<p *>.*//' "$empty"
	tests/structure/reference "$root/usr/share/doc/libgmig-doc/html" | grep -q '^not ok gmig_job_cancel'
}

# What a packager and a user of the library see: install, pkg-config, the example, the .deb.
stage_package() {
	local where=build/stage deb
	need_build release || return 1
	rm -rf "$where"
	cmake --install build/release --prefix "$PWD/$where" >/dev/null || return 1
	only_gmig_symbols "$where"/lib/libgmig.a "$where"/lib/*/libgmig.a || return 1
	rm -f build/release/*.deb
	(cd build/release && cpack >/dev/null) || return 1
	deb=$(find build/release -maxdepth 1 -name 'gmig_*.deb' | head -n 1)
	dpkg-deb -c "$deb" | grep -q 'bin/gmig-vmm' && dpkg-deb -c "$deb" | grep -q 'man1/gmig.1' || return 1
	stage_package_host "$deb" || return 1
	stage_package_agent && stage_package_library && stage_package_reference && stage_package_libvirt
}

# The packages as dpkg-buildpackage makes them, beside cpack's.
stage_debian() {
	command -v dpkg-buildpackage >/dev/null && command -v dh >/dev/null && command -v lintian >/dev/null || {
		echo "dpkg-dev, debhelper or lintian is not installed"
		return 77
	}
	need_build release && (cd build/release && rm -f ./*.deb && cpack >/dev/null) &&
		env -u CMAKE_C_COMPILER_LAUNCHER tests/integration/debian-packages "$@"
}

# Fedora's packages, by whatever rpmbuild is here; it fails on a file that is in none of them.
stage_rpm() {
	local pair
	packaging/rpm-build >build/rpm.log 2>&1 || {
		local rc=$?
		tail -n 20 build/rpm.log
		return $rc
	}
	for pair in gmig:bin/gmig gmig:man1/gmig.1 gmig-libvirt:sbin/gmigd gmig-agent:sbin/gmig-agent libgmig:libgmig.so.0 libgmig-devel:gmig/gmig.h; do
		rpm -qlp build/rpm/RPMS/x86_64/"${pair%:*}"-[0-9]*.rpm 2>/dev/null | grep -qE "/${pair#*:}(\.gz)?\$" || {
			echo "not ok ${pair%:*} has no ${pair#*:}"
			return 1
		}
	done
	! rpm -qlp build/rpm/RPMS/x86_64/*.rpm 2>/dev/null | grep -E '50-gmig|initramfs'
}

# Each target so many seconds of a processor, as many at a time as there are.
stage_fuzz() {
	local out=build/fuzz.out rc
	mkdir -p build
	tests/fuzz/run 1 placement >$out 2>&1 || {
		rc=$?
		cat $out
		return $rc
	}
	tests/fuzz/run --targets | xargs -P "$(nproc)" -I{} sh -c \
		'said=$(tests/fuzz/run "$1" "$2" 2>&1) && echo "ok $2 - $said" || printf "not ok %s\n%s\n" "$2" "$said"' fuzz "$1" {} >$out
	grep '^ok ' $out
	verdict_of_files $out
}

# What the agent reads, so many seconds each, both at once; and of each other target that it builds, and a moment of it.
stage_fuzz_smoke() {
	local protocol proc
	tests/fuzz/run 2 control virtio_queue devices domain_xml policy bindings conf hook_message bzimage journal placement || return $?
	tests/fuzz/run "$1" agent_protocol &
	tests/fuzz/run "$1" agent_proc
	proc=$?
	wait $!
	protocol=$?
	[ $proc -eq 0 ] || return $proc
	return $protocol
}

# A build that counts what it runs. What an earlier run has counted is of other programs: it goes.
stage_build_coverage() {
	# gcov wants its files beside the objects.
	unset CMAKE_C_COMPILER_LAUNCHER
	stage_build coverage && find build/coverage -name '*.gcda' -delete
}

# The unit tests but test_fault, which takes half an hour there.
stage_unit_coverage() {
	GCOV_ERROR_FILE=/dev/null stage_unit coverage 3600 -E '^fault/test_fault$'
}

# A script of tests/integration with the programs of that build: stage_counted SCRIPT [ARG..]
stage_counted() {
	export GMIG_BUILD=$PWD/build/coverage GCOV_ERROR_FILE=/dev/null
	need_build coverage && "$@"
}

# What all those have run: a table, pages in build/coverage/html, and whether it is enough.
stage_coverage() {
	local out=build/coverage
	mkdir -p $out/html
	gcovr --root . --object-directory $out --exclude-unreachable-branches -j "$(nproc)" --json $out/coverage.json \
		--html-details $out/html/index.html --filter '(migrate|control|placement|vmm|cli|guestagent|libvirt-hooks)/' $out || return 1
	tests/coverage/judge $out/coverage.json
}

# Random commands, or a million blocks, with guests that count lost writes.
stage_soak_commands() {
	need_build release && with_guests tests/soak/soak --log build/soak.log "$@"
}

# The same on a host with nodes, beside libvirt and gmigd: stage_lab_soak OPTION.. of tests/integration/soak-cases
stage_lab_soak() {
	stage_libvirt stage_lab_agent "soak-cases --log build/soak-host.log $*" --mem-per-node 2G --timeout 0
}

stage_soak_selftest() {
	need_build release && with_guests tests/soak/selftest
}

stage_soak() {
	local i
	for ((i = 0; i < $1; i++)); do
		tests/integration/probe || return 1
		GMIG_DMA_ROUNDS=10000 build/release/bin/test_busy || [ $? -eq 77 ] || return 1
	done
}
