#!/bin/bash
# A shell's completion, as it was built, in that shell: completion.sh bash|zsh|fish FILE
set -u
shell=$1 file=$(realpath "$2")
command -v "$shell" >/dev/null || {
	echo "skipped: there is no $shell"
	exit 77
}
if [ "$shell" = bash ]; then
	# shellcheck source=/dev/null
	. "$file" || exit 1
fi
XDG_RUNTIME_DIR=$(mktemp -d)
export XDG_RUNTIME_DIR
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
[ "$*" = 'list --json' ] && echo '[{"name":"vm1","state":"running"},{"name":"web1","kind":"qemu"},{"name":"a \\"b","kind":"qemu"},{"name":"gmigd"}]'
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

# Each prints what completing the last word of $1 offers, a line each.
# shellcheck disable=SC2317 # called by name
offer_bash() {
	COMP_LINE=$1
	read -ra COMP_WORDS <<<"${1//=/ = }"
	[[ $1 != *' ' ]] || COMP_WORDS+=('')
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	COMPREPLY=()
	_gmig
	[ ${#COMPREPLY[@]} -eq 0 ] || printf '%s\n' "${COMPREPLY[@]}"
}

# shellcheck disable=SC2317
offer_fish() {
	# What it is for stands behind a tab.
	fish --no-config -c 'source $argv[1]; complete -C $argv[2]' -- "$file" "$1" </dev/null | cut -f 1
}

# An interactive zsh behind a pseudo-terminal types it; what it would add is written down instead of drawn.
# shellcheck disable=SC2317
offer_zsh() {
	zsh -f "$XDG_RUNTIME_DIR/type.zsh" "$1" </dev/null 2>&1
}
cat >"$XDG_RUNTIME_DIR/type.zsh" <<END
zmodload zsh/zpty
zpty -b typist zsh -f -i
zpty -w typist "source $XDG_RUNTIME_DIR/rc.zsh"
zpty -r typist line '*READY*'
zpty -w -n typist "\$1"\$'\\t'
zpty -r typist line '*DONE*'
cat $XDG_RUNTIME_DIR/offered
zpty -d typist
END
mkdir "$XDG_RUNTIME_DIR/functions"
cp "$file" "$XDG_RUNTIME_DIR/functions/_gmig"
cat >"$XDG_RUNTIME_DIR/rc.zsh" <<END
PS1=
unsetopt zle_bracketed_paste 2>/dev/null
fpath=($XDG_RUNTIME_DIR/functions \$fpath)
autoload -Uz compinit
compinit -u -D
compadd() {
	local -a taken
	# -O, -A and -D fill arrays for _describe and others: these offer nothing.
	if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then
		builtin compadd "\$@"
		return
	fi
	builtin compadd -O taken "\$@"
	print -rl -- \$taken >>$XDG_RUNTIME_DIR/offered
	builtin compadd "\$@"
}
write-down() {
	: >$XDG_RUNTIME_DIR/offered
	zle complete-word
	print -n DO
	print NE
}
zle -N write-down
bindkey '^I' write-down
print -n REA
print DY
END

# expect 'WORDS SO FAR' WANTED..: all that completing the last word offers, in any order; '..' at the end: among others.
expect() {
	local line=$1 want got among=
	shift
	if [ "${*: -1}" = .. ]; then
		among=1
		set -- "${@:1:$#-1}"
	fi
	want=$(printf '%s\n' "$@" | sort)
	got=$("offer_$shell" "$line" | sed '/^$/d' | sort -u)
	if [ -n "$among" ]; then
		[ -z "$(comm -23 <(echo "$want") <(echo "$got"))" ] && return
	else
		[ "$got" = "$want" ] && return
	fi
	echo "not ok '$line': offers '${got//$'\n'/ }', not '$*'"
	failed=1
}

# fish offers all of the word.
prefix_of_mode=
[ "$shell" != fish ] || prefix_of_mode=--mode=
expect 'gmig mig' migrate
expect 'gmig ' list show top migrate ..
expect 'gmig --v' --version
expect 'gmig migrate ' vm1
expect 'gmig migrate --from 0 ' vm1
expect 'gmig migrate --from=0 ' vm1
expect 'gmig migrate vm1 '
expect 'gmig migrate vm1 --mode=bl' "$prefix_of_mode"block
expect 'gmig migrate vm1 --mode ' auto readable block lazy
expect 'gmig migrate vm1 --frames r' recycled
expect 'gmig migrate vm1 --mover ' uffd ..
expect 'gmig migrate vm1 --ba' --batch
expect 'gmig migrate vm1 --with' --with-guest --with-vcpus
expect 'gmig pin ' vm1
expect 'gmig retire vm1 --k' --keep
expect 'gmig list --' --json --quiet --no-color --help
expect 'gmig top --q'
expect 'gmig pin vm1 --nod' --node
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
# gmigd's socket is no guest; where it is, it is asked for domains, for those commands that take one.
mv "$XDG_RUNTIME_DIR/gmig/vm1.sock" "$XDG_RUNTIME_DIR/gmig/gmigd.sock"
expect 'gmig pin '
export GMIGD_SOCKET=$XDG_RUNTIME_DIR/gmig/gmigd.sock
expect 'gmig show ' vm1 web1
expect 'gmig migrate --from 0 w' web1
expect 'gmig jobs w' web1
expect 'gmig pin '
mv "$XDG_RUNTIME_DIR/gmig/gmigd.sock" "$XDG_RUNTIME_DIR/gmig/vm1.sock"
# A name may be anything, and is no command.
mv "$XDG_RUNTIME_DIR/gmig/vm1.sock" "$XDG_RUNTIME_DIR/gmig/odd \$(touch hurt).sock"
cd "$XDG_RUNTIME_DIR" || exit 1
case $shell in
bash) expect 'gmig show od' 'odd\ \$\(touch\ hurt\)' ;;
*) expect 'gmig show od' 'odd $(touch hurt)' ;;
esac
[ ! -e hurt ] || {
	echo "not ok a name was carried out"
	failed=1
}
[ $failed = 0 ] && echo ok
exit $failed
