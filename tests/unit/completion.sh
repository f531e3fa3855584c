#!/bin/bash
# The shell's completion, as it was built: completion.sh FILE
set -u
# shellcheck source=/dev/null
. "$1" || exit 1
XDG_RUNTIME_DIR=$(mktemp -d)
trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
mkdir "$XDG_RUNTIME_DIR/gmig"
command -v socat >/dev/null || {
	echo "skipped: there is no socat to make a socket"
	exit 77
}
socat -u "UNIX-RECV:$XDG_RUNTIME_DIR/gmig/vm1.sock,unlink-close=0" OPEN:/dev/null &
for ((i = 0; i < 1000; i++)); do
	[ ! -S "$XDG_RUNTIME_DIR/gmig/vm1.sock" ] || break
	sleep 0.02
done
kill $!
wait $! 2>/dev/null
[ -S "$XDG_RUNTIME_DIR/gmig/vm1.sock" ] || {
	echo "no socket was made"
	exit 1
}
# A gmig that knows of two jobs of vm1, and of a VM that is silent.
mkdir "$XDG_RUNTIME_DIR/bin"
cat >"$XDG_RUNTIME_DIR/bin/gmig" <<'END'
#!/bin/sh
[ "$*" = 'jobs vm1 --json' ] && echo '[{"id":"7"},{"id":"12"}]'
[ "$*" = 'jobs silent --json' ] && exec sleep 20
END
chmod +x "$XDG_RUNTIME_DIR/bin/gmig"
PATH=$XDG_RUNTIME_DIR/bin:$PATH
failed=0

# Only the VM that is silent needs a limit: a busy machine may take a while to start a program.
# shellcheck disable=SC2317 # called by what was sourced
timeout() {
	if [[ $* == *silent* ]]; then
		command timeout "$@"
	else
		"${@:2}"
	fi
}

# expect 'WORDS SO FAR' WANTED..: all that completing the last word offers; '..' at the end: among others.
expect() {
	local line=$1 want got
	shift
	read -ra COMP_WORDS <<<"$line"
	[[ $line != *' ' ]] || COMP_WORDS+=('')
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	COMPREPLY=()
	_gmig
	want=" $* " got=" ${COMPREPLY[*]} "
	if [ "${*: -1}" = .. ]; then
		want=" ${*:1:$#-1} "
		[[ $got == *"$want"* ]] && return
	else
		[ "$got" = "$want" ] && return
	fi
	echo "not ok '$line': offers '${COMPREPLY[*]}', not '$*'"
	failed=1
}

expect 'gmig mig' migrate
expect 'gmig ' list show top migrate ..
expect 'gmig --' --help --version
expect 'gmig migrate ' vm1
expect 'gmig migrate --from 0 ' vm1
expect 'gmig migrate vm1 '
expect 'gmig migrate vm1 --mode ' auto readable block lazy
expect 'gmig migrate vm1 --frames r' recycled
expect 'gmig migrate vm1 --mover ' uffd ..
expect 'gmig migrate vm1 --ba' --batch
expect 'gmig migrate vm1 --with' --with-guest --with-vcpus
expect 'gmig pin ' vm1
expect 'gmig retire vm1 --k' --keep
expect 'gmig pin vm1 --n' --node
expect 'gmig pin vm1 --node ' 0 ..
expect 'gmig migrate vm1 --rate ' 100M 500M 1G
expect 'gmig migrate vm1 --from ' 0 ..
expect 'gmig cancel vm1 ' 7 12
expect 'gmig cancel --json vm1 1' 12
expect 'gmig set-rate vm1 7 '
start=$SECONDS
expect 'gmig cancel silent '
[ $((SECONDS - start)) -lt 18 ] || {
	echo "not ok a VM that is silent keeps the shell"
	failed=1
}
expect 'gmig list '
expect 'gmig agent vm1 st' stall-probe
expect 'gmig agent vm1 ps --mapp' --mappings
expect 'gmig help hist' histogram
expect 'gmig sample vm1 o' on off
expect 'gmig migrate vm1 --order h' hot-first
[ $failed = 0 ] && echo ok
exit $failed
