# shellcheck shell=bash
# What the lab and the guest share: messages, the cache, and Debian packages that
# are downloaded and unpacked but never installed. Sourced, not run.
#
# The cache, ${XDG_CACHE_HOME:-~/.cache}/gmig:
#   kernel/<series>     symlink to the directory of the version in use; also kernel/newest
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

# A kernel by its series (6.12), or the newest one.
is_series()
{
	[[ $1 =~ ^([0-9]+\.[0-9]+|newest)$ ]]
}

# kernel_packages SERIES: the newest kernel of that series in any configured suite, backports included, a package a line.
# Newer kernels come in parts; the image package is then empty, and depends on them.
kernel_packages()
{
	local version=${1//./\\.} name
	[ "$1" != newest ] || version='[0-9]+\.[0-9]+'
	name=$(apt-cache "${APT[@]}" search --names-only "^linux-image-$version([.+-][^ ]*)?-amd64\$" 2>/dev/null |
		awk '{ print $1 }' | grep -v -E -- '-(cloud|rt|unsigned)-' | sort -V | tail -n1)
	[ -n "$name" ] || return
	echo "$name"
	LC_ALL=C apt-cache "${APT[@]}" depends --important "$name" 2>/dev/null |
		awk -v release="${name#linux-image-}" '$1 == "Depends:" && index($2, release) &&
			$2 ~ /^linux-(base|binary|modules)-/ { print $2 }'
}

# suite_of SERIES: what an installed Debian has among its suites, and one that debootstrap made has not.
suite_of()
{
	local codename
	codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null)
	[ "$codename $1" != "bookworm 6.12" ] ||
		say "Debian 12 has it in its suite for security: put" \
			"'deb http://security.debian.org/debian-security bookworm-security main' into a file in /etc/apt/sources.list.d"
}

# fetch_debs DIR KIND WANT: leaves DIR/*.deb. Of the kind `kernel`, WANT is a series.
fetch_debs()
{
	local dir=$1 kind=$2 want=$3 packages lists
	for lists in system own; do
		apt_options "$lists" || return
		if [ "$lists" = own ]; then
			say "updating package lists of our own"
			apt-get "${APT[@]}" update >"$dir/log" 2>&1 ||
				say "apt-get update: $(grep -m1 -E '^(E|W):' "$dir/log")"
		fi
		packages=("$want")
		[ "$kind" != kernel ] || mapfile -t packages < <(kernel_packages "$want")
		[ ${#packages[@]} -gt 0 ] || { echo "E: no kernel package of that series" >"$dir/log" && continue; }
		say "downloading ${packages[*]}"
		(cd "$dir" && apt-get "${APT[@]}" download "${packages[@]}" >log 2>&1) && return
	done
	say "cannot obtain $want from the configured suites: $(grep -m1 '^E:' "$dir/log")"
	[ "$kind" != kernel ] || suite_of "$want"
	return 1
}

# unpack_deb DEB DIR: without documentation and, of a kernel, without drivers of real hardware.
unpack_deb()
{
	local deb=$1 dir=$2 leave=() path
	for path in "${KERNEL_LEAVE_OUT[@]}"; do leave+=(--exclude="*/kernel/$path"); done
	leave+=(--exclude='./usr/share/doc' --exclude='./usr/share/locale')
	mkdir -p "$dir"
	dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir" --no-same-owner "${leave[@]}"
}

# complete_kernel DIR: gives unpacked packages the shape that all here expect, boot/vmlinuz-<release> and
# lib/modules/<release> with its index. Newer packages have both below usr/lib/modules/<release>.
complete_kernel()
{
	local dir=$1 image release
	[ -e "$dir/lib" ] || [ ! -d "$dir/usr/lib" ] || ln -s usr/lib "$dir/lib" || return
	for image in "$dir"/lib/modules/*/vmlinuz; do
		release=$(basename "$(dirname "$image")")
		[ ! -f "$image" ] || [ -e "$dir/boot/vmlinuz-$release" ] ||
			{ mkdir -p "$dir/boot" && ln -s "../lib/modules/$release/vmlinuz" "$dir/boot/vmlinuz-$release"; } ||
			return
	done
	release=$(kernel_release "$dir") || return
	[ -f "$dir/lib/modules/$release/modules.dep" ] || depmod -b "$dir" "$release"
}

# The newest release that a complete kernel directory holds.
kernel_release()
{
	local image
	image=$(printf '%s\n' "$1"/boot/vmlinuz-* | sort -V | tail -n1)
	[ -f "$image" ] && echo "${image##*/vmlinuz-}"
}

# unpack_all KIND WORK: what fetch_debs left in WORK, as WORK/root.
unpack_all()
{
	local deb
	for deb in "$2"/*.deb; do
		unpack_deb "$deb" "$2/root" || return
	done
	[ "$1" != kernel ] || complete_kernel "$2/root"
}

# install_package KIND WANT: downloads and unpacks below the cache; prints the directory.
install_package()
{
	local kind=$1 want=$2 work name
	mkdir -p "$GMIG_CACHE/$kind" || return
	work=$(mktemp -d "$GMIG_CACHE/$kind/.new.XXXXXX") || return
	if fetch_debs "$work" "$kind" "$want" && unpack_all "$kind" "$work"; then
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

# kernel_dir SERIES|newest|DIR: prints a directory with boot/ and lib/modules/<release>.
kernel_dir()
{
	local dir=$1 release
	if is_series "$1"; then
		need_tool depmod kmod
		[ -e "$GMIG_CACHE/kernel/$1/." ] || need_tool apt-get apt
		[ -e "$GMIG_CACHE/kernel/$1/." ] || with_cache_lock cached_package kernel "$1" >&2 ||
			die 77 "no kernel $1"
		dir=$GMIG_CACHE/kernel/$1
	fi
	dir=$(realpath -e -- "$dir" 2>/dev/null) || die 77 "no kernel directory $1"
	complete_kernel "$dir" 2>/dev/null
	release=$(kernel_release "$dir") ||
		die 77 "no boot/vmlinuz-* in $dir, nor vmlinuz below usr/lib/modules (or no right to link it)"
	[ -f "$dir/lib/modules/$release/modules.dep" ] ||
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
