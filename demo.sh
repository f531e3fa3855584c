#!/bin/bash
# gmig's main job, seen in 2 to 9 minutes: a stock Linux guest with two vnodes runs memtester; its memory moves from host node
# 0 to node 1 and back while it runs.
# usage: ./demo.sh [--yes] [--clean] [--memory MIB] [--libvirt]
#   --libvirt      instead: a QEMU domain of libvirt's, moved by gmigd while a test of its memory runs; always in the lab
#   --yes          install what is missing without asking
#   --clean        remove what this script cached (kernels, guests, builds) and end
#   --memory MIB   what memtester tests in the guest (64)
# Runs on this machine when it has two nodes, a /dev/kvm that boots Linux, and Linux >= 6.8; else in the lab, a NUMA host
# emulated by QEMU, where everything is real but the clock. Exit status: 0 the guest's verdict is PASS and nothing stayed.
set -euo pipefail
cd "$(dirname "$(realpath "$0")")"
yes='' memory=64 inside='' libvirt='' vm_limit=3600
build=build/release
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gmig

LAB_BROKE=125 # what tests/lab/lab exits with, too

die() {
	echo "demo.sh: $*" >&2
	# A guest that triple-faults in the lab is the lab's doing: docs/lab.md. guest_broke: of a domain.
	[ -z "$libvirt$inside" ] || [ "$(type -t guest_broke)" != function ] || ! guest_broke >/dev/null || exit $LAB_BROKE
	[ -z "${GMIG_IN_LAB:-}" ] || ! grep -qs 'reason=triple-fault' "${tmp:-}/log" || exit $LAB_BROKE
	echo "VERDICT: FAIL ($*)"
	exit 1
}

while [ $# -gt 0 ]; do
	case $1 in
	--yes) yes=--yes ;;
	--clean)
		rm -rf "$cache" build/release build/guest
		echo "Removed $cache, build/release and build/guest. Packages stay installed."
		exit 0
		;;
	--memory)
		memory=${2:?--memory takes MiB}
		shift
		;;
	--libvirt) libvirt=--libvirt ;;
	--inside)
		inside=$2
		shift
		;;
	-h | --help)
		sed -n '2,10s/^# \{0,1\}//p' "$0"
		exit 0
		;;
	*)
		echo "demo.sh: unknown option $1 (see --help)" >&2
		exit 2
		;;
	esac
	shift
done

# As in a bare chroot.
[ -e /dev/fd/0 ] && [ -d /sys/kernel ] ||
	die "/proc, /sys and /dev have to be there as on a running system: mount --rbind them into a chroot"

step() {
	printf '\n== %s\n' "$*"
}

# ---- The part that runs on the NUMA host ---------------------------------------------------------------------------------

residency() {
	gmig show demo --json | jq -r '.vnodes[] | "   vnode \(.id): " + ([.resident | to_entries[] | select(.value > 0) |
		"\(.value / 1048576 | floor) MiB on host node \(.key)"] | join(", "))'
}

move() {
	step "Moving all of the guest's memory from host node $1 to host node $2 while it runs"
	echo "before:"
	residency
	gmig migrate demo --from "$1" --to "$2" --json >"$tmp/result" || die "gmig migrate ended with $?: $(tail -n 1 "$tmp/result")"
	echo "after:"
	residency
	tail -n 1 "$tmp/result" | jq -r '
		def us: . / 1000 | if . >= 100 then round else (. * 10 | round / 10) end;
		def row(name; h): "   \(name)  p50 \(h.p50 | us) us   p99 \(h.p99 | us) us   p99.9 \(h.p999 | us) us   longest \(h.max | us) us";
		"moved \(.moved_bytes / 1048576 | floor) MiB in \(.seconds * 1000 | round / 1000) s = \(.bytes_per_second / 1e7 | round / 100) GB/s, \(.remaining_bytes) bytes stayed, \(.thp_split) huge pages split",
		row("blackout of writers"; .blackout_ns.write),
		row("blackout of readers"; .blackout_ns.read),
		row("stall of a thread of the guest"; .stall_ns)'
	[ "$(tail -n 1 "$tmp/result" | jq .remaining_bytes)" = 0 ] || die "some memory stayed on node $1"
}

# wait_for PATTERN LIMIT: until the guest's console has it. A guest may take its time as long as it prints: LIMIT seconds without a
# word are too long. One test of memtester says nothing until it ends.
wait_for() {
	local pattern=$1 limit=$2 size=0 now silent=$SECONDS
	# The limits are those of a lab that is not slowed down; it has measured whether it is.
	limit=$((limit * (${GMIG_LAB_PATIENCE:-3} + 2) / 5))
	while kill -0 "$vmm" 2>/dev/null; do
		grep -qaE "$pattern" "$tmp/console" 2>/dev/null && return 0
		now=$(stat -c %s "$tmp/console" 2>/dev/null || echo 0)
		[ "$now" = "$size" ] || silent=$SECONDS
		size=$now
		if ((SECONDS - silent > limit)); then
			tail -n 20 "$tmp/console" "$tmp/log" >&2
			die "the guest has said nothing for $limit s; '$pattern' was to come"
		fi
		sleep 0.5
	done
	grep -qaE "$pattern" "$tmp/console" && return 0
	tail -n 20 "$tmp/console" "$tmp/log" >&2
	((SECONDS - started < vm_limit)) || die "slow: '$pattern' is not on the guest's console after $vm_limit s"
	die "the guest ended"
}

run_inside() {
	local kernel=$1 initrd=$2
	tmp=$(mktemp -d)
	export XDG_RUNTIME_DIR=$tmp PATH=$PWD/$build/bin:$PATH
	# The guest holds nothing of value: it migrates also on a kernel that doctor finds unsafe, and doctor says so.
	export GMIG_UNSAFE_KERNEL=1
	step "The host: $(uname -r), $(find /sys/devices/system/node -maxdepth 1 -name 'node[0-9]*' | wc -l) NUMA nodes"
	gmig doctor || die "migration does not work here"
	step "Booting a stock Linux guest (vnode 0: 192 MiB, vnode 1: 128 MiB), both vnodes on host node 0"
	started=$SECONDS
	timeout $vm_limit gmig-vmm --name demo --grace 0 --node id=0,mem=192M,cpus=0,host=0 --node id=1,mem=128M,cpus=1,host=0 \
		--kernel "$kernel" --initrd "$initrd" --console "file:$tmp/console" \
		--append "console=ttyS0 quiet panic=-1 gmig.run=memtester:$memory:1" 2>"$tmp/log" &
	vmm=$!
	trap 'kill $vmm 2>/dev/null; rm -rf "$tmp"' EXIT
	wait_for '[Ll]oop 1' 300
	echo "memtester runs in the guest:"
	grep -aE 'memtester version|[Ll]oop 1|want' "$tmp/console" | head -n 3 | tr -d '\r\b' | cut -c 1-100 | sed 's/^/   /'
	move 0 1
	grep -qa GUEST-VERDICT "$tmp/console" && die "memtester had ended before the second migration"
	move 1 0
	step "How long blocks were out of reach and threads stalled, both migrations together"
	gmig histogram demo
	step "Checking the invariants, then waiting for memtester's verdict"
	gmig check demo
	wait_for GUEST-VERDICT 1200
	grep -a 'GUEST-VERDICT' "$tmp/console" | tr -d '\r' | sed 's/^/   /'
	grep -qa 'GUEST-VERDICT: PASS' "$tmp/console" || die "the guest found an error"
	wait $vmm || die "gmig-vmm ended with $?: $(tail -n 3 "$tmp/log")"
	trap 'rm -rf "$tmp"' EXIT
}

# ---- The same with libvirt -----------------------------------------------------------------------------------------------

# told COMMAND..: what an operator types, and what it says. QEMU's own memory may stay in part (3), with a reason.
told() {
	local rc=0
	printf '\n$ %s\n' "$*"
	timeout 600 "$@" 2>&1 </dev/null | tr -d '\r' | cut -c 1-150 | sed 's/^/   /'
	rc=${PIPESTATUS[0]}
	[ "$rc" = 0 ] || { [ "$rc" = 3 ] && [[ $2 =~ ^(migrate|rebalance)$ ]]; } || die "$* ended with $rc"
}

# The domain lies on this node, but for 8 MiB, and the kernel and libvirt allow it no other.
is_on() {
	[ "$(on_node demo $((1 - $1)))" -lt $((8 << 20)) ] || die "memory is left on node $((1 - $1))"
	[ "$(mems_of demo)" = "$1" ] || die "the domain's cpusets allow $(mems_of demo), not $1"
	[ "$(nodeset demo)" = "$1" ] || die "virsh numatune says $(nodeset demo), not $1"
}

memory_is_whole() {
	said=$(fail() { echo "$*" && exit 1; } && sums_agree demo) || die "$said"
	echo "   the guest has read back what it wrote: $(sums demo | wc -l) sums of 48 MiB agree"
}

run_libvirt_inside() {
	# What the tests use: a libvirtd of the lab's own, its domains, and how to wait for them.
	. tests/integration/lib.sh
	. tests/integration/libvirt.sh
	fail() { die "$*"; }
	export XDG_RUNTIME_DIR='' # root's sockets: /run/gmig
	kernel=$1 initrd=$2 run=$(summing 48 2)
	step "The host: $(uname -r), $(find /sys/devices/system/node -maxdepth 1 -name 'node[0-9]*' | wc -l) NUMA nodes, libvirt $(libvirtd --version | awk '{ print $NF }')"
	libvirtd_starts
	step "A domain of 192 MiB on node 0; a program in it writes 48 MiB and reads them over and over"
	domain_starts demo 192 1
	virsh vcpupin demo 0 "$(cat /sys/devices/system/node/node0/cpulist)" --live >/dev/null || die "virsh vcpupin"
	await_console demo '[0-9a-f]{32} +/fill' 120 || die "the guest does not start"
	step "gmigd, which a package's unit would have started"
	gmigd_starts
	await 30 "the domain is listed" listed demo
	told gmig doctor
	told gmig list
	told gmig show demo
	step "All of it is near its vCPU: a plan has nothing to do"
	told gmig plan
	step "An operator moves it to node 1 all the same, while it runs"
	told gmig migrate demo --from 0 --to 1
	told virsh numatune demo
	is_on 1
	memory_is_whole
	step "Now a plan brings it back to its vCPU"
	told gmig plan
	told gmig rebalance --yes
	told virsh numatune demo
	is_on 0
	memory_is_whole
	told gmig check demo
	rm -f "$work/demo.pid"
	virsh destroy demo >/dev/null
	gmigd_ends -TERM || die "gmigd does not end"
	no_journal_is_left
	libvirtd_ends || die "libvirtd does not end"
}

if [ -n "$inside" ]; then
	if [ -n "$libvirt" ]; then set +e; fi # whose functions return what they found
	"run${libvirt:+_libvirt}_inside" "${inside%%,*}" "${inside#*,}"
	exit 0
fi

# ---- The part that prepares ----------------------------------------------------------------------------------------------

# A /dev/kvm that boots a stock kernel needs VMX or SVM in the CPU; a paravirtual one has neither.
runs_here() {
	local nodes
	nodes=$(find /sys/devices/system/node -maxdepth 1 -name 'node[0-9]*' 2>/dev/null | wc -l)
	[ "$nodes" -ge 2 ] || { why="it has one NUMA node"; return 1; }
	[ -w /dev/kvm ] || { why="/dev/kvm is missing or not allowed"; return 1; }
	grep -qwE 'vmx|svm' /proc/cpuinfo || { why="its /dev/kvm cannot boot Linux"; return 1; }
	[ "$(printf '6.8\n%s\n' "$(uname -r)" | sort -V | head -n 1)" = 6.8 ] || { why="its kernel is older than 6.8"; return 1; }
}

echo "gmig's demo: moves the memory of a running Linux guest between NUMA nodes."
if [ -n "$libvirt" ]; then
	echo "It will run in the lab (a NUMA host emulated by QEMU): libvirt's daemon and its files there are the lab's own."
elif runs_here; then
	echo "It will run right on this machine."
else
	echo "It will run in the lab (a NUMA host emulated by QEMU), since this machine is not enough: $why."
fi
takes='2 to 9 minutes'
[ -z "$libvirt" ] || takes='less than 6 minutes once it is built'
echo "It takes $takes, downloads a kernel package of 56 MB, and keeps that, unpacked, in $cache; --clean removes it."
step "Packages"
packaging/install-packages $yes build test lab ${libvirt:+libvirt} || die "packages are missing"
step "Building"
built=$(cmake --preset release 2>&1 && cmake --build --preset release 2>&1) || {
	printf '%s\n' "$built" | tail -n 40
	die "the build failed"
}
printf '%s\n' "$built" | tail -n 1
step "Making the guest from the distribution's packages"
paths=$(tests/lab/guest --kernel 6.12 --out build/guest) || die "the guest could not be made"
{ read -r kernel && read -r initrd; } <<<"$paths"
echo "   kernel $kernel"
echo "   initrd $initrd"
if [ -z "$libvirt" ] && runs_here; then
	"./demo.sh" --memory "$memory" --inside "$kernel,$initrd"
else
	step "Booting the lab: 2 nodes"
	for try in 1 2 3; do
		rc=0
		tests/lab/lab --nodes 2 --cpus 2 --timeout $((vm_limit + 600)) -- ./demo.sh $libvirt --memory "$memory" --inside "$kernel,$initrd" || rc=$?
		[ "$rc" = $LAB_BROKE ] && [ "$try" -lt 3 ] || break
		step "QEMU's emulation broke the lab or the guest, as it does now and then (docs/lab.md): once more"
	done
	[ "$rc" = 0 ] || die "the run in the lab ended with $rc"
	echo
	echo "(These figures come from an emulated CPU: only their order means anything. ./build/release/bin/gmig-bench move"
	echo "measures on the bare machine.)"
fi
echo
if [ -n "$libvirt" ]; then
	echo "VERDICT: PASS (the domain read back what it wrote while all of its memory moved to another node and back, and libvirt agrees)"
else
	echo "VERDICT: PASS (memtester found no error while all of its guest's memory moved to another node and back)"
fi
