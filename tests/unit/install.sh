#!/bin/bash
# What is installed where: hosts get no files of guests, the agent's allow-list is where the agent reads it, and what man
# pages refer to is there. usage: install.sh SOURCE BUILD CMAKE
set -u
source=$1 build=$2 cmake=$3 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -w "$build" ] || { echo "skipped: the build belongs to another user, and an installation notes there what it did"; exit 77; }

fail() {
	echo "FAILED: $*"
	failed=1
}

install() { # ROOT [OPTION..]
	DESTDIR=$1 "$cmake" --install "$build" "${@:2}" >"$work/log" 2>&1 || {
		cat "$work/log"
		fail "cmake --install ${*:2}"
	}
}

files() {
	(cd "$1" && find . -type f | sort)
}

install "$work/host" --prefix /usr/local
for want in ./usr/local/bin/gmig ./usr/local/bin/gmig-vmm ./usr/local/lib/udev/rules.d/60-gmig-userfaultfd.rules; do
	files "$work/host" | grep -qx "$want" || fail "a host has no $want"
done
shells='bash-completion/completions/gmig fish/vendor_completions.d/gmig.fish'
for want in $shells zsh/site-functions/_gmig; do
	[ -s "$work/host/usr/local/share/$want" ] || fail "a host has no $want"
done
# Where a package of Debian's has it: zsh looks elsewhere there.
install "$work/package" --prefix /usr
[ ! -e /etc/debian_version ] || shells="$shells zsh/vendor-completions/_gmig"
for want in $shells; do
	[ -s "$work/package/usr/share/$want" ] || fail "a package has no $want"
done
guest=$(files "$work/host" | grep -E 'sbin/gmig-agent|agent\.conf|initramfs|gmig-agent\.(service|rules)')
[ -z "$guest" ] || fail "a host gets files of guests: $guest"
# Documents that manual pages name, by their last part.
# shellcheck disable=SC2013 # words without spaces
for name in $(sed -n 's/^\.Pa \([a-z-]*\.md\).*/\1/p' "$source"/docs/*.1); do
	files "$work/host" | grep -q "/doc/gmig/$name\$" || fail "a manual page names $name, which is not installed"
done

for prefix in /usr /usr/local /opt/gmig; do
	root=$work/guest$prefix
	install "$root" --prefix "$prefix" --component agent
	agent=$(find "$root" -name gmig-agent -path '*sbin*')
	conf=$("$agent" --version | sed -n 's/^allow-list: //p')
	[ -n "$conf" ] || fail "gmig-agent --version does not name its allow-list"
	[ -f "$root$conf" ] || fail "with prefix $prefix the agent reads $conf, and there is no $root$conf"
	grep -q -- "--config $conf\$" "$(find "$root" -name gmig-agent.service)" || fail "the unit names another file than $conf"
	[ "$(find "$root" -name agent.conf | wc -l)" = 1 ] || fail "there are two: $(find "$root" -name agent.conf)"
done
# A file that the administrator has changed stays.
echo "users = 7" >"$work/guest/usr/local/etc/gmig/agent.conf"
install "$work/guest/usr/local" --prefix /usr/local --component agent
grep -qx "users = 7" "$work/guest/usr/local/etc/gmig/agent.conf" || fail "an installation overwrites agent.conf"
exit $failed
