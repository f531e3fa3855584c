#include "fake_pages.h"

static pthread_mutex_t fake_lock = PTHREAD_MUTEX_INITIALIZER;
unsigned int fake_huge_pages;
struct fake_page fake_page[FAKE_PAGES];
size_t fake_node_free[FAKE_NODES];
unsigned int fake_allowed;
bool fake_holes_are_bad;
atomic_uint fake_calls;
atomic_ulong fake_told;
atomic_ulong fake_asked;
int fake_refuse;
pid_t fake_thread_pid, fake_named;
void (*fake_after_move)(void);

void fake_pages_reset(void)
{
	memset(fake_page, 0, sizeof(fake_page));
	for (int node = 0; node < FAKE_NODES; node++)
		fake_node_free[node] = SIZE_MAX / 2;
	fake_huge_pages = 512;
	fake_allowed = ~0u;
	fake_holes_are_bad = false;
	fake_calls = 0;
	fake_told = 0;
	fake_asked = 0;
	fake_refuse = 0;
	fake_thread_pid = fake_named = 0;
	fake_after_move = NULL;
}

size_t fake_pages_on(int node)
{
	size_t pages = 0;

	for (size_t i = 0; i < FAKE_PAGES; i++)
		pages += fake_page[i].node == node;
	return pages;
}

static struct fake_page *fake_find(void *address)
{
	uint64_t at = (uint64_t)(uintptr_t)address;

	if (at < FAKE_START || at >= FAKE_START + FAKE_PAGES * FAKE_PAGE_BYTES)
		return NULL;
	return &fake_page[(at - FAKE_START) / FAKE_PAGE_BYTES];
}

/* A huge page that finds no room goes on as small ones. */
static void fake_split(struct fake_page *page)
{
	for (size_t i = 0; i < fake_huge_pages; i++)
		page[i].huge = false;
}

int fake_move_one(struct fake_page *page, int node)
{
	size_t count = 1;

	if (page->busy || page->busy_times > 0) {
		page->busy_times--;
		return 1;
	}
	if (page->huge && fake_node_free[node] >= fake_huge_pages)
		count = fake_huge_pages;
	else if (page->huge)
		fake_split(page);
	if (!fake_node_free[node])
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		page[i].node = node;
		fake_node_free[node]--;
	}
	return 0;
}

/* The page is taken off its list: not the tail of a huge page. 1 yes, 0 it is there already. */
static int fake_isolate(const struct fake_page *page, int node, bool all)
{
	if (!page || page->node == FAKE_ZERO)
		return -EFAULT;
	if (page->node == FAKE_HOLE)
		return fake_holes_are_bad ? -EFAULT : -ENOENT;
	if (page->node == node)
		return 0;
	if (page->shared && !all)
		return -EACCES;
	if (page->huge && (page - fake_page) % fake_huge_pages)
		return -EBUSY;
	return 1;
}

static long fake_flush(size_t first, size_t end, void **pages, const int *nodes, int *status)
{
	long failed = 0;

	for (size_t i = first; i < end; i++) {
		int rc = fake_move_one(fake_find(pages[i]), nodes[i]);

		if (rc < 0)
			return rc;
		failed += rc;
	}
	for (size_t i = first; !failed && i < end; i++)
		status[i] = nodes[i];
	return failed;
}

static int fake_where(const struct fake_page *page)
{
	if (!page || page->node == FAKE_ZERO)
		return -EFAULT;
	if (page->node == FAKE_HOLE)
		return fake_holes_are_bad ? -EFAULT : -ENOENT;
	return page->node;
}

/* Batches of a call that moves; each ends where the node changes or a page is settled at once. */
static long fake_move(unsigned long count, void **pages, const int *nodes, int *status, int flags)
{
	size_t first = 0;
	long rc;

	for (size_t i = 0; i < count; i++) {
		int isolated;

		if (nodes[i] < 0 || nodes[i] >= FAKE_NODES || !(fake_allowed >> nodes[i] & 1)) {
			rc = fake_flush(first, i, pages, nodes, status);
			if (rc < 0)
				return rc;
			return nodes[i] < 0 || nodes[i] >= FAKE_NODES ? -ENODEV : -EACCES;
		}
		if (i > first && nodes[i] != nodes[first]) {
			rc = fake_flush(first, i, pages, nodes, status);
			if (rc)
				return rc > 0 ? rc + (long)(count - i) : rc;
			first = i;
		}
		isolated = fake_isolate(fake_find(pages[i]), nodes[i], flags & MPOL_MF_MOVE_ALL);
		if (isolated == 1)
			continue;
		status[i] = isolated ? isolated : nodes[i];
		rc = fake_flush(first, i, pages, nodes, status);
		if (rc)
			return rc > 0 ? rc + (long)(count - i - 1) : rc;
		first = i + 1;
	}
	return fake_flush(first, count, pages, nodes, status);
}

static long fake_move_pages_locked(pid_t pid, unsigned long count, void **pages, const int *nodes,
				   int *status, int flags)
{
	long rc;

	if (pid != FAKE_PID && (!fake_thread_pid || pid != fake_thread_pid))
		return -ESRCH;
	if (!nodes) {
		fake_asked += count;
		for (size_t i = 0; i < count; i++)
			status[i] = fake_where(fake_find(pages[i]));
		return 0;
	}
	fake_calls++;
	fake_told += count;
	fake_named = pid;
	if (fake_refuse)
		return fake_refuse;
	rc = fake_move(count, pages, nodes, status, flags);
	if (fake_after_move)
		fake_after_move();
	return rc;
}

long fake_move_pages(pid_t pid, unsigned long count, void **pages, const int *nodes, int *status,
		     int flags)
{
	long rc;

	pthread_mutex_lock(&fake_lock);
	rc = fake_move_pages_locked(pid, count, pages, nodes, status, flags);
	pthread_mutex_unlock(&fake_lock);
	return rc;
}
