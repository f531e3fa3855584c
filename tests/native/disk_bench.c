/*
 * What a disk with cache=none gains by going straight to guest memory, against the same by a buffer of gmig-vmm's: a guest of a
 * few instructions keeps 16 requests in flight, in batches, and its buffers are aligned in one slice and not in the
 * next, so that the slices take turns on one guest and one file.
 *
 * usage: disk-bench FILE [REPETITIONS]    FILE is made, 64 MiB, and removed; it should lie on the file system in question. Or
 *                                         it is a block device, which is written over
 */
#include "native.h"

#include "../../vmm/device.h"
#include "../support/suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_BYTES  (64u << 20) /* a power of two */
#define CONTROL_GPA 0x2005000u
#define MAX_REPS    100u
#define SLICE_US    1000000u
#define SETTLE_US   20000u

/* What the guest is to do; it looks before each batch. */
struct control {
	uint64_t offset; /* of the buffers in their pages */
	uint64_t bytes;	 /* of a request; 0: wait */
	uint64_t type;	 /* VIRTIO_BLK_T_ */
	uint64_t flags;	 /* of the buffers' descriptors */
	uint64_t mask;	 /* of the disk */
	uint64_t waits;	 /* the guest's answer */
};

/*
 * As in test_disk.c: rings at 32 MiB, headers 12 KiB after them, status bytes 16 KiB, `struct control` 20 KiB. The buffers begin
 * at 34 MiB, 1 MiB apart. 'S': an I/O error.
 */
asm(".pushsection .rodata\n"
    "load_guest:\n"
    "	mov	$0xe0008000, %esi\n"
    "	movw	$6, 4(%rsi)\n"
    "	mov	0x10(%rsi), %ebx\n"
    "	and	$0xfffffff0, %ebx\n"
    "	movb	$0, 0x14(%rbx)\n"
    "	movb	$3, 0x14(%rbx)\n"
    "	movl	$0, 8(%rbx)\n"
    "	movl	$0x200, 0xc(%rbx)\n"
    "	movl	$1, 8(%rbx)\n"
    "	movl	$1, 0xc(%rbx)\n"
    "	movb	$0xb, 0x14(%rbx)\n"
    "	movw	$0, 0x16(%rbx)\n"
    "	movw	$64, 0x18(%rbx)\n"
    "	movl	$0x2000000, 0x20(%rbx)\n"
    "	movl	$0x2001000, 0x28(%rbx)\n"
    "	movl	$0x2002000, 0x30(%rbx)\n"
    "	movw	$1, 0x1c(%rbx)\n"
    "	movb	$0xf, 0x14(%rbx)\n"
    "	mov	$0x2000000, %edi\n"
    "	xor	%r10d, %r10d\n"
    "4:	xor	%r12d, %r12d\n" /* the place on the disk */
    "	movq	$1, 0x5028(%rdi)\n"
    "	pause\n"
    "2:	mov	0x5008(%rdi), %r14\n"
    "	test	%r14, %r14\n"
    "	jz	4b\n"
    "	xor	%ecx, %ecx\n"
    "	mov	0x5000(%rdi), %r13\n"
    "	mov	0x5018(%rdi), %r15\n"
    "1:	imul	$48, %rcx, %r8\n"
    "	add	%rdi, %r8\n"
    "	mov	%rcx, %rax\n"
    "	shl	$4, %rax\n"
    "	add	$0x2003000, %rax\n"
    "	mov	%rax, (%r8)\n"
    "	movl	$16, 8(%r8)\n"
    "	movw	$1, 12(%r8)\n"
    "	lea	1(%rcx,%rcx,2), %eax\n"
    "	mov	%ax, 14(%r8)\n"
    "	mov	%rcx, %rax\n"
    "	shl	$20, %rax\n"
    "	lea	0x2200000(%rax,%r13), %rax\n"
    "	mov	%rax, 16(%r8)\n"
    "	mov	%r14d, 24(%r8)\n"
    "	mov	%r15w, 28(%r8)\n"
    "	lea	2(%rcx,%rcx,2), %eax\n"
    "	mov	%ax, 30(%r8)\n"
    "	lea	0x2004000(%rcx), %rax\n"
    "	mov	%rax, 32(%r8)\n"
    "	movl	$1, 40(%r8)\n"
    "	movw	$2, 44(%r8)\n"
    "	mov	%rcx, %r8\n"
    "	shl	$4, %r8\n"
    "	add	%rdi, %r8\n"
    "	mov	0x5010(%rdi), %rax\n"
    "	mov	%rax, 0x3000(%r8)\n"
    "	mov	%r12, %rax\n"
    "	and	0x5020(%rdi), %rax\n"
    "	shr	$9, %rax\n"
    "	mov	%rax, 0x3008(%r8)\n"
    "	add	%r14, %r12\n"
    "	movb	$0xee, 0x4000(%rdi,%rcx)\n"
    "	mov	%r10d, %eax\n"
    "	and	$63, %eax\n"
    "	lea	(%rcx,%rcx,2), %r11d\n"
    "	mov	%r11w, 0x1004(%rdi,%rax,2)\n"
    "	inc	%r10d\n"
    "	inc	%ecx\n"
    "	cmp	$16, %ecx\n"
    "	jne	1b\n"
    "	mov	%r10w, 0x1002(%rdi)\n"
    "	movw	$0, 0x3000(%rbx)\n"
    "5:	pause\n"
    "	cmp	%r10w, 0x2002(%rdi)\n"
    "	jne	5b\n"
    "	mov	0x4000(%rdi), %rax\n"
    "	or	0x4008(%rdi), %rax\n"
    "	jz	2b\n"
    "	mov	$'S', %al\n"
    "	mov	$0x510, %dx\n"
    "	out	%al, %dx\n"
    "3:	hlt\n"
    "	jmp	3b\n"
    "load_guest_end:\n"
    ".popsection\n");
extern const uint8_t load_guest[], load_guest_end[];

static const char *path;
static unsigned int reps;
static uint64_t off_align; /* where buffers lie that are not aligned */

enum { STRAIGHT, BOUNCED, WAYS };

struct slice {
	double rate;   /* requests per second */
	double cpu_us; /* of all threads but the vCPU's and ours, for a request */
};

static bool is_device(void)
{
	struct stat st;

	return !stat(path, &st) && S_ISBLK(st.st_mode);
}

static int make_file(void)
{
	static uint8_t part[1u << 20];
	int fd = open(path, is_device() ? O_WRONLY : O_WRONLY | O_CREAT | O_EXCL, 0600);
	bool ok = fd >= 0;

	memset(part, 'x', sizeof(part));
	for (unsigned int i = 0; ok && i < FILE_BYTES / sizeof(part); i++)
		ok = write(fd, part, sizeof(part)) == (ssize_t)sizeof(part);
	ok = ok && !fsync(fd);
	if (!ok)
		perror(path);
	if (fd >= 0)
		close(fd);
	return ok ? 0 : -1;
}

/* Not straight, but as near to it as can be: copies to odd places cost more. */
static void find_off_align(void)
{
	struct statx st = {0};

	statx(AT_FDCWD, path, 0, STATX_DIOALIGN, &st);
	off_align = !(st.stx_mask & STATX_DIOALIGN) || st.stx_dio_mem_align > 64 ? 64 : 1;
}

static double seconds(clockid_t clock)
{
	struct timespec now = {0};

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Of one thread, unless it is a vCPU or ours. */
static double thread_cpu(const char *tid)
{
	char name[64], text[64] = "";
	unsigned long long ns = 0;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/self/task/%.20s/comm", tid);
	file = fopen(name, "re");
	if (file && !fgets(text, sizeof(text), file))
		*text = '\0';
	if (file)
		fclose(file);
	if (!strncmp(text, "vcpu", 4) || (pid_t)strtol(tid, NULL, 10) == gettid())
		return 0;
	snprintf(name, sizeof(name), "/proc/self/task/%.20s/schedstat", tid);
	file = fopen(name, "re");
	if (file && fscanf(file, "%llu", &ns) != 1)
		ns = 0;
	if (file)
		fclose(file);
	return (double)ns * 1e-9;
}

/* Of the device's threads, and those of the kernel for it. */
static double device_cpu(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	double sum = 0;

	while (tasks && (entry = readdir(tasks)))
		if (entry->d_name[0] != '.')
			sum += thread_cpu(entry->d_name);
	if (tasks)
		closedir(tasks);
	return sum;
}

static uint64_t requests(struct vmm *vmm, int way)
{
	struct vmm_disk disk[VMM_MAX_DISKS];

	vmm_disks(vmm->devices, disk);
	return way == STRAIGHT ? disk[0].straight : disk[0].bounced;
}

static struct slice measure(struct vmm *vmm, struct control *control, int way)
{
	double from, cpu, time;
	uint64_t count;

	__atomic_store_n(&control->offset, way == STRAIGHT ? 0 : off_align, __ATOMIC_RELEASE);
	usleep(SETTLE_US);
	count = requests(vmm, way);
	from = seconds(CLOCK_MONOTONIC);
	cpu = device_cpu();
	usleep(SLICE_US);
	count = requests(vmm, way) - count;
	cpu = device_cpu() - cpu;
	time = seconds(CLOCK_MONOTONIC) - from;
	return (struct slice){(double)count / time, count ? cpu * 1e6 / (double)count : 0};
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(double *values, unsigned int count)
{
	qsort(values, count, sizeof(*values), compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void run(struct vmm *vmm, struct control *control)
{
	double rate[WAYS][MAX_REPS], cpu[WAYS][MAX_REPS], ratio[MAX_REPS], cpu_ratio[MAX_REPS];

	for (unsigned int i = 0; i < reps; i++) {
		struct slice slice[WAYS];

		/* Who is first changes, so that a drift cancels out. */
		slice[i % 2] = measure(vmm, control, (int)(i % 2));
		slice[!(i % 2)] = measure(vmm, control, !(i % 2));
		for (int way = 0; way < WAYS; way++) {
			rate[way][i] = slice[way].rate;
			cpu[way][i] = slice[way].cpu_us;
		}
		ratio[i] = slice[STRAIGHT].rate / slice[BOUNCED].rate;
		cpu_ratio[i] = slice[STRAIGHT].cpu_us / slice[BOUNCED].cpu_us;
	}
	printf("%s %3llu KiB  %9.0f %9.0f  %5.2f", control->type ? "write" : "read ",
	       (unsigned long long)control->bytes >> 10, median(rate[STRAIGHT], reps),
	       median(rate[BOUNCED], reps), median(ratio, reps));
	printf(" (%.2f .. %.2f)", ratio[0], ratio[reps - 1]);
	printf("  %7.1f %7.1f  %5.2f", median(cpu[STRAIGHT], reps), median(cpu[BOUNCED], reps),
	       median(cpu_ratio, reps));
	printf(" (%.2f .. %.2f)\n", cpu_ratio[0], cpu_ratio[reps - 1]);
	fflush(stdout);
}

static void run_all(struct vmm *vmm, struct control *control)
{
	static const uint64_t bytes[] = {4096, 65536, 131072};

	puts("            requests/s             straight / by buffer  us of CPU/request straight "
	     "/ by buffer\n"
	     "             straight by buffer  median (least .. most)  straight  buffer  median "
	     "(least .. most)");
	for (unsigned int write = 0; write < 2; write++)
		for (unsigned int i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
			/* None is in flight while it changes. */
			__atomic_store_n(&control->waits, 0, __ATOMIC_RELAXED);
			__atomic_store_n(&control->bytes, 0, __ATOMIC_RELEASE);
			while (!__atomic_load_n(&control->waits, __ATOMIC_ACQUIRE) &&
			       !*native_record(0))
				usleep(1000);
			control->type = write;
			control->flags = write ? 1 : 3;
			control->mask = FILE_BYTES - 1;
			__atomic_store_n(&control->bytes, bytes[i], __ATOMIC_RELEASE);
			run(vmm, control);
		}
}

START_TEST(straight_against_by_buffer)
{
	char option[128];
	const char *const options[] = {"--memory", "uffd", "--no-pin", "--disk", option, NULL};
	struct vmm_disk disk[VMM_MAX_DISKS];
	struct control *control;
	struct vmm *vmm;

	snprintf(option, sizeof(option), "%s,cache=none", path);
	vmm = native_start(load_guest, (size_t)(load_guest_end - load_guest), options);
	control = vmm_guest_ptr(vmm, CONTROL_GPA, sizeof(*control));
	vmm_disks(vmm->devices, disk);
	ck_assert_msg(disk[0].direct, "this file system has no O_DIRECT");
	printf("%s, aio=%s, 16 requests in batches, slices of %u s by turns, medians of %u\n", path,
	       disk[0].aio, SLICE_US / 1000000, reps);
	run_all(vmm, control);
	ck_assert_str_eq(native_record(0), "");
	native_end(vmm);
}
END_TEST

/* The machine is made with the help of Check's assertions, so this is a test to it. */
int main(int argc, char **argv)
{
	Suite *suite = suite_create("disk-bench");
	TCase *tcase = tcase_create("disk-bench");
	int status;

	reps = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 10) : 10;
	if (argc < 2 || argc > 3 || !reps || reps > MAX_REPS || strlen(argv[1]) > 100) {
		fprintf(stderr, "usage: disk-bench FILE [REPETITIONS, 1 to %u]\n", MAX_REPS);
		return 2;
	}
	path = argv[1];
	if (native_missing())
		return 77;
	if (make_file())
		return 1;
	find_off_align();
	tcase_set_timeout(tcase, 3600);
	tcase_add_test(tcase, straight_against_by_buffer);
	suite_add_tcase(suite, tcase);
	status = run_suite(suite);
	if (!is_device())
		unlink(path);
	return status;
}
