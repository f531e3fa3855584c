/*
 * The interface between the probe guest's code and the VMM: the layout of guest RAM, and the fields
 * of a vCPU's statistics. Included by C and by assembly.
 *
 *   0x10000   code                     0x11000  GDT    0x12000  IDT
 *   0x20000   a stack for each vCPU
 *   0x100000  page tables, then `expect` (each page's counter, 4 bytes), then the swept pages
 *
 * The statistics of each vCPU lie beside guest RAM, in memory that nobody moves: they are written all the time, and a guest
 * that reads must not be one that writes to one of its blocks.
 */
#ifndef VMM_PROBE_ABI_H
#define VMM_PROBE_ABI_H

#define PROBE_CODE_GPA	  0x10000
#define PROBE_GDT_GPA	  0x11000
#define PROBE_IDT_GPA	  0x12000
#define PROBE_STACK_GPA	  0x20000
#define PROBE_STACK_BYTES 0x2000
#define PROBE_STATS_GPA	  0xff000000 /* a block of its own */
#define PROBE_STATS_BYTES 0x8000
#define PROBE_TABLES_GPA  0x100000

#define PROBE_SLEEP_PORT  0x5f0 /* an OUT here sleeps for 1 ms */
#define PROBE_STI_PORT	  0x5f1 /* an OUT of the vCPU number here sets RFLAGS.IF */
#define PROBE_VECTOR	  0x40
#define PROBE_TIMER_TICKS 4000000 /* KVM's bus clock is 1 GHz: 4 ms */
#define PROBE_BATCH	  16	  /* pages between two readings of the clock */

/* Offsets into the statistics: struct probe_stats. */
#define STATS_FIRST	 0
#define STATS_PAGES	 8
#define STATS_LOAD	 16
#define STATS_THRESHOLD	 24
#define STATS_EXPECT	 32
#define STATS_LAPIC	 40
#define STATS_RANDOM	 48
#define STATS_FILLED	 56
#define STATS_VISITS	 64
#define STATS_SWEEPS	 72
#define STATS_ERRORS	 80
#define STATS_ERR_PAGE	 88
#define STATS_ERR_SEEN	 96
#define STATS_ERR_WANTED 104
#define STATS_GAP_MAX	 112
#define STATS_INTERRUPTS 120
#define STATS_CPU	 128
#define STATS_STI	 136
#define STATS_GAPS	 0x1000

/* Log-linear buckets of the gap in TSC ticks, 32 per doubling. */
#define PROBE_GAP_SUB_BITS 5
#define PROBE_GAP_BUCKETS  1920

/* enum vmm_load */
#define PROBE_WRITE  0
#define PROBE_IDLE   1
#define PROBE_RANDOM 2
#define PROBE_READ   3
#define PROBE_HALF   4

#ifndef __ASSEMBLER__
#include <stdint.h>

struct probe_stats {
	/* The VMM writes these, the guest reads them. */
	uint64_t first_page, pages; /* the slice, in pages of the guest's linear memory */
	uint64_t load;
	uint64_t threshold_tsc; /* a shorter gap is no gap */
	uint64_t expect_va, lapic_va;
	uint64_t random;
	/* The guest writes these. */
	uint64_t filled; /* the first sweep is over */
	uint64_t visits, sweeps, errors;
	uint64_t error_page, error_seen, error_wanted; /* the first error */
	uint64_t gap_max_tsc;
	uint64_t interrupts;
	/* The VMM writes these. */
	uint64_t cpu;
	uint64_t sti; /* batches between two OUTs to PROBE_STI_PORT, 0 = none */
	uint8_t unused[STATS_GAPS - 144];
	uint64_t gap[PROBE_GAP_BUCKETS];
};
#endif
#endif
