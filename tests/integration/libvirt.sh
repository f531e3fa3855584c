# Shared by the scripts that need libvirt: a daemon of the lab's own, and its domains. Source it after lib.sh; bash.
# shellcheck shell=bash

# The daemon writes to /etc/libvirt and the like: only where these are the lab's.
need_lab_for_libvirt() {
	[ -n "${GMIG_IN_LAB:-}" ] || {
		echo "skip everything - it writes to /etc/libvirt, which must be the lab's own"
		echo "0 passed, 0 failed, 1 skipped"
		exit 0
	}
	need_kvm_here
}

# virsh waits for a daemon that does not answer: not here.
virsh() {
	timeout $((20 * PATIENCE)) virsh -q -c qemu:///system "$@"
}

libvirtd_starts() {
	local i
	mkdir -p /etc/libvirt /run/libvirt /var/lib/libvirt /var/log/libvirt
	printf '%s\n' 'stdio_handler = "file"' 'security_driver = "none"' 'user = "root"' 'group = "root"' 'namespaces = []' \
		'remember_owner = 0' >/etc/libvirt/qemu.conf
	echo 'auth_unix_rw = "none"' >/etc/libvirt/libvirtd.conf
	# Debian's libvirt-daemon-system would have made it.
	getent passwd libvirt-qemu >/dev/null || {
		echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' >>/etc/passwd
		echo 'libvirt-qemu:x:64055:' >>/etc/group
	}
	libvirtd >"$work/libvirtd.log" 2>&1 &
	echo $! >"$work/libvirtd.daemon"
	for ((i = 0; i < 60; i++)); do
		virsh list >/dev/null 2>&1 && break
		sleep 1
	done
	virsh list >/dev/null || fail "libvirtd: $(tail -n 5 "$work/libvirtd.log")"
}

# domain NAME MEM_MIB VCPUS [MODE] [DEVICE_XML] [CPU_XML]: the XML of a domain on host node 0, booting $kernel and $initrd with
# $run as gmig.run=, its console in $work/NAME.console.
domain() {
	cat <<XML
<domain type='kvm'>
  <name>$1</name><memory unit='MiB'>$2</memory><vcpu>$3</vcpu>
  <numatune><memory mode='${4:-restrictive}' nodeset='0'/></numatune>
  <os><type arch='x86_64' machine='pc'>hvm</type><kernel>$kernel</kernel><initrd>$initrd</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 numa_balancing=disable gmig.run=$run</cmdline></os>
  <features><acpi/></features>
  ${6:-<cpu mode='host-passthrough'/>}
  <on_reboot>destroy</on_reboot>
  <devices>
    <controller type='usb' model='none'/><memballoon model='none'/>
    ${5:-}
    <serial type='file'><source path='$work/$1.console'/></serial>
  </devices>
</domain>
XML
}

# domain_starts NAME ..: as above.
domain_starts() {
	local said
	domain "$@" >"$work/$1.xml"
	said=$(virsh create "$work/$1.xml" 2>&1) || fail "virsh create: $said; the end of QEMU's log: $(tail -n 5 "/var/log/libvirt/qemu/$1.log")"
	cp "/run/libvirt/qemu/$1.pid" "$work/$1.pid"
}

libvirtd_ends() {
	local pid
	pid=$(cat "$work/libvirtd.daemon")
	kill "$pid" && wait_gone "$pid" 20
}

# ---- gmigd -----------------------------------------------------------------------------------------------------------------

unit=$root/packaging/libvirt/gmigd.service.in

# What the unit's SystemCallFilter= leaves, one name a line; nothing where systemd does not say what its groups hold.
unit_syscalls() {
	command -v systemd-analyze >/dev/null || return 0
	{ systemd-analyze syscall-filter | sed 's/\x1b\[[0-9;]*m//g' && sed -n 's/^SystemCallFilter=/= /p' "$unit"; } | awk '
		function take(name, sign,    word, i, count) {
			if (name !~ /^@/) { has[name] = sign; return }
			count = split(group[name], word)
			for (i = 1; i <= count; i++) take(word[i], sign)
		}
		/^@/ { set = $1; next }
		/^ +[^# ]/ { group[set] = group[set] " " $1; next }
		/^= / { sign = sub(/^= ~/, "= ") ? "no" : "yes"; for (i = 2; i <= NF; i++) take($i, sign) }
		END { for (name in has) if (has[name] == "yes") print name }'
}

# as_the_unit COMMAND..: with no more rights and system calls than systemd gives it.
as_the_unit() {
	local caps
	caps=$(sed -n 's/^CapabilityBoundingSet=//p' "$unit" | tr '[:upper:]' '[:lower:]' | sed 's/cap_/+/g; s/ /,/g')
	[ -e "$work/unit.calls" ] || unit_syscalls >"$work/unit.calls"
	set -- setpriv --no-new-privs --bounding-set="-all,$caps" "$bin/confined" "$work/unit.calls" "$@"
	[ -s "$work/unit.calls" ] || set -- "${@:1:3}" "${@:6}"
	exec "$@"
}

# The socket is given to a group that every host has: Debian's libvirt-daemon-system makes the group libvirt.
gmigd_starts() {
	(as_the_unit gmigd --config "$work/none.conf" --state /run/gmig/gmigd --group daemon) >>"$work/gmigd.out" 2>&1 &
	echo $! >"$work/gmigd.daemon"
}

# gmigd_ends [SIGNAL]
gmigd_ends() {
	local pid
	pid=$(cat "$work/gmigd.daemon")
	kill "${1:--TERM}" "$pid" && wait_gone "$pid" 20
}

# await SECONDS WHAT COMMAND..: until it succeeds.
await() {
	local limit=$(($1 * PATIENCE)) what=$2 since=$SECONDS
	shift 2
	until "$@" >/dev/null 2>&1; do
		[ $((SECONDS - since)) -lt $limit ] || fail "not within $limit s: $what: $(tail -n 5 "$work/gmigd.out")"
		sleep $NAP
	done
}

# listed NAME [STATE]: by gmig
listed() {
	[ "$(gmig list --json | jq -r ".[] | select(.name == \"$1\") | .state")" = "${2:-running}" ]
}

# on_node NAME NODE: bytes, as gmig says now
on_node() {
	gmig show "$1" --fresh --json | jq ".vnodes[0].resident[\"$2\"] // 0"
}

# mems_of NAME: what its threads may use, as the kernel has it
mems_of() {
	cat /proc/"$(cat "$work/$1.pid")"/task/*/status | sed -n 's/^Mems_allowed_list:\t//p' | sort -u | tr '\n' ' ' | sed 's/ $//'
}

# nodeset NAME: what libvirt believes
nodeset() {
	virsh numatune "$1" | awk '$1 == "numa_nodeset" { print $3 }'
}

no_journal_is_left() {
	[ -z "$(find /run/gmig/gmigd -name '*.json')" ] || fail "a journal is left: $(cat /run/gmig/gmigd/*.json)"
}
