/*
 * What of QEMU's interface for TCG plugins count_instructions.c uses: its numbers, names and types, because Debian has no
 * package with QEMU's own header. GMIG_PLUGIN_API is the version it is compiled for: 1 for QEMU 7.2 (Debian 12), 3 for QEMU 9.1
 * and newer (Debian 13), which refuses 1; they differ here in how the bytes of an instruction are asked for.
 */
#ifndef LAB_QEMU_PLUGIN_H
#define LAB_QEMU_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QEMU_EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;

struct qemu_plugin_info {
	const char *target_name;
	struct {
		int min, cur;
	} version;
	bool system_emulation;
	int smp_vcpus, max_vcpus;
};

/* What QEMU looks for in the plugin. */
extern QEMU_EXPORT int qemu_plugin_version;
QEMU_EXPORT int qemu_plugin_install(uint64_t id, const struct qemu_plugin_info *info, int argc,
				    char **argv);

enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

/* visit: called, by the thread of that CPU, for each block of code that is translated. */
void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*visit)(uint64_t id,
							 struct qemu_plugin_tb *block));
/* visit: called each time the block begins, by the thread of the CPU that executes it. */
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block,
					  void (*visit)(unsigned int cpu, void *opaque),
					  enum qemu_plugin_cb_flags flags, void *opaque);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *instruction);
#if GMIG_PLUGIN_API < 3
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction);
#else
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *instruction, void *to, size_t bytes);
#endif

#endif
