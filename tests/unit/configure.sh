#!/bin/bash
# A library that is missing is told with its package, and a build without the tests' packages works.
# usage: configure.sh SOURCE CMAKE
set -u
source=$1 cmake=$2 failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v ninja >/dev/null || { echo "skipped: there is no ninja"; exit 77; }

# pkg-config, but one module is not there.
cat >"$work/pkg-config" <<'END'
#!/bin/bash
for word in "$@"; do
	[ "$word" = "$HIDDEN" ] && { echo "Package $word was not found" >&2; exit 1; }
done
exec pkg-config "$@"
END
chmod +x "$work/pkg-config"

# configure_without MODULE STATUS TEXT
configure_without() {
	local status
	HIDDEN=$1 PKG_CONFIG=$work/pkg-config "$cmake" -S "$source" -B "$work/$1" -G Ninja >"$work/log" 2>&1
	status=$?
	if [ $status != "$2" ] || ! tr '\n' ' ' <"$work/log" | tr -s ' ' | grep -qF "$3"; then
		echo "FAILED: without $1 cmake ends in $status, and does not say '$3':"
		tail -n 15 "$work/log"
		failed=1
	fi
}

configure_without jansson 1 "jansson is missing: Debian has it in libjansson-dev. All that a build needs: packaging/install-packages build"
configure_without numa 1 "numa is missing: Debian has it in libnuma-dev"
configure_without liburcu-bp 1 "liburcu-bp is missing: Debian has it in liburcu-dev"
configure_without inih 0 "libvirt-hooks is left out; Debian has what is missing in: libinih-dev"
ninja -C "$work/inih" -t targets all 2>/dev/null | grep -q '^bin/gmig:' || {
	echo "FAILED: gmig is not built without libinih"
	failed=1
}
configure_without check 0 "packaging/install-packages test"
ninja -C "$work/check" -t targets all 2>/dev/null | grep -q '^bin/gmig-bench:' || {
	echo "FAILED: gmig-bench is not built without check"
	failed=1
}
exit $failed
