# Marks what kernels and QEMU say in a lab although nothing is wrong, each line with the reason.
/Unhandled WRMSR(0xc0010007) = 0xffff/s/$/ (harmless: a guest tries whether it has performance counters; it has none)/
/rIP: 0xfff0 Unhandled WRMSR(0x1d9) = 0x0/s/$/ (harmless: gmig-vmm resets a register that an emulated AMD CPU lacks, and that is 0)/
/Memory failure: .*recovery action for dirty LRU page: Recovered/s/$/ (harmless: a test broke that page)/
/hrtimer: interrupt took/s/$/ (harmless: the lab held the CPU up)/
/\] reboot: Power down$/s/$/ (harmless: the lab or the guest ends as it should)/
/^qemu-system-x86_64: terminating on signal 15 /s/$/ (harmless: the lab ends it)/
