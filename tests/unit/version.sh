#!/bin/bash
# every_place_says_the_version_of_CMakeLists: version.sh SOURCE VERSION PROGRAM..
set -u
source=$1 version=$2 failed=0
shift 2

expect() { # WHAT TEXT
	[ "$2" = "$version" ] || {
		echo "FAILED: $1 says '$2', CMakeLists.txt $version"
		failed=1
	}
}

for program in "$@"; do
	expect "$program --version" "$("$program" --version | sed -n '1s/.* \([0-9][0-9.]*\).*/\1/p')"
done
expect CHANGELOG.md "$(sed -n 's/^## \([0-9.]*\) - .*/\1/p' "$source/CHANGELOG.md" | head -n 1)"
expect "the greeting in docs/protocol.md" "$(sed -n 's/.*"package":"gmig \([0-9.]*\)".*/\1/p' "$source/docs/protocol.md" | head -n 1)"
expect debian/changelog "$(sed -n '1s/.*(\(.*\)).*/\1/p' "$source/debian/changelog")"
expect packaging/gmig.spec "$(sed -n 's/^Version: *//p' "$source/packaging/gmig.spec")"
expect examples/agent-image "$(sed -n 's/.*gmig-agent_\([0-9.]*\)_amd64.*/\1/p' "$source/examples/agent-image")"
IFS=. read -r major minor micro <<<"$version"
grep -qF "\"major\":$major,\"minor\":$minor,\"micro\":$micro" "$source/docs/protocol.md" || {
	echo "FAILED: the numbers of the greeting in docs/protocol.md"
	failed=1
}
exit $failed
