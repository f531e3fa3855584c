#!/bin/bash
# How gmig-agent starts, and when it refuses to. usage: agent-start.sh GMIG-AGENT AGENT.CONF
set -u
agent=$1 conf=$2 failed=0
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

# expect STATUS PART-OF-STDERR ARGUMENT..
expect() {
	local want=$1 part=$2 said status
	shift 2
	said=$(timeout 60 "$agent" "$@" 2>&1 >/dev/null </dev/null)
	status=$?
	[ $status = "$want" ] && [[ $said == *"$part"* ]] && return
	echo "FAILED: gmig-agent $* ends in $status, not $want, and says '$said', not '$part'"
	failed=1
}

# The allow-list of the package is right, one that was named must be there.
expect 0 "" --check-config --config "$conf"
expect 1 "No such file or directory" --check-config --config "$directory/none"
expect 1 "No such file or directory" --fd 0 --config "$directory/none"
expect 1 "No such file or directory" --fd 0 --config ""
echo "commands = fly" >"$directory/conf"
expect 1 "'fly' is no command of this agent" --check-config --config "$directory/conf"
expect 1 "'fly' is no command of this agent" --fd 0 --config "$directory/conf"
exit $failed
