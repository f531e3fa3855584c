# shellcheck shell=bash
# What the lab and the guest share: messages, the cache, and Debian packages that
# are downloaded and unpacked but never installed. Sourced, not run.
#
# The cache, ${XDG_CACHE_HOME:-~/.cache}/gmig:
#   kernel/<series>     symlink to the directory of the version in use
#   kernel/<release>/   boot/vmlinuz-<release>, lib/modules/<release>
#   package/<name>/     other packages, unpacked
#   initrd/             what the lab and the guest built from these
#   apt/                package lists of our own, if the system's are of no use
# Delete any of it at any time.

GMIG_CACHE=${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/gmig

# Drivers of real hardware: nine tenths of a kernel package, and of no use here.
KERNEL_LEAVE_OUT=(
	sound drivers/gpu drivers/media drivers/iio drivers/staging drivers/comedi
	drivers/infiniband drivers/hwmon drivers/hid drivers/mtd drivers/platform
	drivers/net/ethernet drivers/net/wireless drivers/net/can drivers/net/dsa
	drivers/net/wan drivers/net/usb drivers/net/phy drivers/usb drivers/isdn
	drivers/bluetooth drivers/ata drivers/video drivers/target
)

say()
{
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# die STATUS MESSAGE: ends the script, or the subshell that called.
die()
{
	local status=$1
	shift
	say "$*"
	exit "$status"
}

need_tool()
{
	command -v "$1" >/dev/null || die 77 "no $1: install the package $2"
}

# Package lists of our own need neither root nor the system's lists.
apt_options()
{
	APT=(-q -o APT::Sandbox::User= -o Dpkg::Use-Pty=0)
	[ "$1" = own ] || return 0
	mkdir -p "$GMIG_CACHE"/apt/{lists,archives}/partial || return
	APT+=(-o "Dir::State::Lists=$GMIG_CACHE/apt/lists" -o "Dir::Cache=$GMIG_CACHE/apt")
}

# The release package behind a kernel series: the metapackage has that series in
# its name (Debian 12's 6.12) or is the distribution's default kernel.
kernel_package()
{
	local series=$1 meta name
	for meta in "linux-image-$series-amd64" linux-image-amd64; do
		name=$(LC_ALL=C apt-cache "${APT[@]}" depends --important "$meta" 2>/dev/null |
			awk '$1 == "Depends:" { print $2 }' |
			grep -E -m1 "^linux-image-${series//./\\.}[.+-].*amd64$") || continue
		echo "$name"
		return
	done
	return 1
}

# fetch_deb DIR NAME|series: leaves DIR/*.deb. $2 of the form 6.12 is a kernel series.
fetch_deb()
{
	local dir=$1 want=$2 name=$2 lists
	for lists in system own; do
		apt_options "$lists" || return
		if [ "$lists" = own ]; then
			say "updating package lists of our own"
			apt-get "${APT[@]}" update >"$dir/log" 2>&1 ||
				say "apt-get update: $(grep -m1 -E '^(E|W):' "$dir/log")"
		fi
		if [[ $want =~ ^[0-9]+\.[0-9]+$ ]]; then
			name=$(kernel_package "$want") || { echo "E: no kernel package of that series" >"$dir/log" && continue; }
		fi
		say "downloading $name"
		(cd "$dir" && apt-get "${APT[@]}" download "$name" >log 2>&1) && return
	done
	say "cannot obtain $want from the configured suites: $(grep -m1 '^E:' "$dir/log")"
	return 1
}

# unpack_deb DEB DIR: a kernel package is thinned out, and gets its module index.
unpack_deb()
{
	local deb=$1 dir=$2 leave=() path release
	for path in "${KERNEL_LEAVE_OUT[@]}"; do leave+=(--exclude="*/kernel/$path"); done
	leave+=(--exclude='./usr/share/doc' --exclude='./usr/share/locale')
	mkdir -p "$dir"
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir" --no-same-owner "${leave[@]}" || return
	release=$(kernel_release "$dir") || return 0
	[ -e "$dir/lib" ] || ln -s usr/lib "$dir/lib"
	depmod -b "$dir" "$release"
}

# The newest release that a directory in the shape of a kernel package holds.
kernel_release()
{
	local image
	image=$(printf '%s\n' "$1"/boot/vmlinuz-* | sort -V | tail -n1)
	[ -f "$image" ] && echo "${image##*/vmlinuz-}"
}

# install_package KIND WANT: downloads and unpacks below the cache; prints the directory.
install_package()
{
	local kind=$1 want=$2 work name
	mkdir -p "$GMIG_CACHE/$kind" || return
	work=$(mktemp -d "$GMIG_CACHE/$kind/.new.XXXXXX") || return
	if fetch_deb "$work" "$want" && unpack_deb "$work"/*.deb "$work/root"; then
		name=$want
		[ "$kind" != kernel ] || name=$(kernel_release "$work/root")
		chmod 755 "$work/root"
		rm -rf "$GMIG_CACHE/$kind/${name:?}"
		mv -T "$work/root" "$GMIG_CACHE/$kind/$name" &&
			{ [ "$name" = "$want" ] || ln -sfn "$name" "$GMIG_CACHE/$kind/$want"; }
	else
		false
	fi
	local status=$?
	rm -rf "$work"
	return $status
}

# with_cache_lock COMMAND...: one builder at a time.
with_cache_lock()
{
	mkdir -p "$GMIG_CACHE" || return
	(
		flock 9 && "$@"
	) 9>"$GMIG_CACHE/lock"
}

cached_package()
{
	[ -e "$GMIG_CACHE/$1/$2/." ] || install_package "$1" "$2"
}

# kernel_dir 6.12|6.1|DIR: prints a directory with boot/ and lib/modules/<release>.
kernel_dir()
{
	local dir=$1 release
	if [[ $1 =~ ^[0-9]+\.[0-9]+$ ]]; then
		need_tool depmod kmod
		[ -e "$GMIG_CACHE/kernel/$1/." ] || need_tool apt-get apt
		[ -e "$GMIG_CACHE/kernel/$1/." ] || with_cache_lock cached_package kernel "$1" >&2 ||
			die 77 "no kernel $1"
		dir=$GMIG_CACHE/kernel/$1
	fi
	dir=$(realpath -e -- "$dir" 2>/dev/null) || die 77 "no kernel directory $1"
	release=$(kernel_release "$dir") || die 77 "no boot/vmlinuz-* in $dir"
	[ -f "$dir/lib/modules/$release/modules.dep" ] || depmod -b "$dir" "$release" 2>/dev/null ||
		die 77 "no lib/modules/$release/modules.dep in $dir, and depmod cannot make it"
	echo "$dir"
}

# program NAME PACKAGE: prints the path of NAME, installed or from the cached package.
program()
{
	local path
	path=$(PATH=$PATH:/usr/sbin:/sbin command -v "$1") && echo "$path" && return
	with_cache_lock cached_package package "$2" >&2 || die 77 "no $1, nor the package $2"
	for path in "$GMIG_CACHE/package/$2"/{bin,sbin,usr/bin,usr/sbin}/"$1"; do
		[ -x "$path" ] && echo "$path" && return
	done
	die 77 "the package $2 has no $1"
}

# copy_modules DIR RELEASE OUT MODULE...: unpacks the modules and all they depend on into
# OUT, and lists them in OUT/order as insmod wants them. A built-in one needs nothing.
copy_modules()
{
	local dir=$1 release=$2 out=$3 module path name
	shift 3
	mkdir -p "$out" && : >"$out/order"
	for module in "$@"; do
		modprobe -d "$dir" -S "$release" --show-depends "$module" 2>/dev/null |
			awk '$1 == "insmod" { print $2 }'
	done | awk '!seen[$0]++' | while read -r path; do
		name=$(basename "$path")
		name=${name%%.ko*}.ko
		case $path in
		*.xz) xz -dc "$path" >"$out/$name" ;;
		*.zst) zstd -qdc "$path" >"$out/$name" ;;
		*.gz) gzip -dc "$path" >"$out/$name" ;;
		*) cp "$path" "$out/$name" ;;
		esac || exit
		echo "$name" >>"$out/order"
	done
}

# pack DIR FILE: DIR as a gzipped initramfs, in one step for whoever looks.
pack()
{
	local new
	new=$(mktemp "$2.XXXXXX") || return
	(cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 2>/dev/null) | gzip -n -1 >"$new" &&
		chmod 644 "$new" && mv "$new" "$2"
}
