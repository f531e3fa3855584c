/*
 * The mover `uffd`. A run is a range of pages of one block that are moved in one call each way.
 *
 * readable:  protect the run - look - copy region -> target - unmap - remap
 * block:     look - unmap - copy source -> target - remap
 *
 * lazy:      look - unmap; when it was touched: copy source -> target - remap
 *            or protect; when it was written to: as readable
 *
 * unmap is UFFDIO_MOVE region -> source slot, remap is UFFDIO_MOVE target slot -> region, which
 * drops the protection and wakes whoever sleeps. What fails is put back: from the source slot if it
 * was out, else by taking the protection away.
 *
 * (a) From unmap to remap the run is a hole of a registered region: whoever touches it sleeps, and
 * the fault thread leaves it alone because the entries say COPYING. (b) Once protected, no write
 * through the region reaches the old frame, so the copy is equal to it until the unmap. (c) The
 * target's content is only ever remapped for pages that were moved out, so one frame at a time
 * holds a gfn.
 */
#include "../core/copy.h"
#include "../core/uffd.h"
#include "../memory/frame.h"
#include "../memory/region.h"
#include "uffd_frames.h"
#include "uffd_lost.h"
#include "uffd_run.h"

#include <errno.h>
#include <sys/mman.h>

#define PUTBACK_TRIES 200
#define PUTBACK_NS    1000000
#define EMPTY_TRIES   3 /* times that a slot is emptied that somebody else fills */
/* Per page a larger batch is out of reach for less long, but all of it together. A reader that comes at any time
 * waits least, on average, with this one (docs/performance.md). */
#define BATCH_PAGES 256

static struct run run_of(const struct request *request, struct mover_ticket *result, int uffd,
			 unsigned int first, unsigned int count)
{
	return (struct run){request, result, first, count, uffd, 0};
}

/*
 * ENOENT is a hole that came up since we looked, or a page that the kernel itself is migrating;
 * EEXIST the same on the other side. The next pass looks again. EFAULT is a place that the kernel
 * keeps for broken memory.
 */
static void run_fail(const struct run *run, unsigned int first, unsigned int count, int error)
{
	if (error == -ENOENT || error == -EEXIST)
		error = -EAGAIN;
	else if (error == -EFAULT)
		error = -EIO;
	for (unsigned int i = first; i < first + count; i++)
		run->result->error[i] = (int16_t)error;
}

/* Copy the run's pages into the target, as far as they can be read: how many. */
static unsigned int copy_run(const struct run *run, const void *from, unsigned int count)
{
	const struct gmig_sys *sys = run->request->gmig->sys;
	uint64_t begin_ns = sys->ran_ns();
	size_t done = copy_pages(run_at(run, run->request->target), from, count * GMIG_PAGE_BYTES);

	run->result->copy_ns += sys->ran_ns() - begin_ns;
	return (unsigned int)(done / GMIG_PAGE_BYTES);
}

/*
 * The copy ended at this page of the block. A frame of ours that is broken is set aside, and the page moves with another
 * one in the next pass; what is broken in the guest stays.
 */
static int copy_error(const struct run *run, unsigned int page)
{
	struct slot *target = run->request->target;

	if (frame_page_works(target, page))
		return -EIO;
	target->suspect = true;
	return -EAGAIN;
}

/* ---- The four moves; each returns the number of pages that moved and -errno in *error ------ */

static unsigned int pages_move(const struct run *run, struct slot *slot,
			       const struct uffd_move *move, int *error)
{
	size_t done;

	*error = frame_move(run->request->gmig->frames, slot, move, &done);
	return (unsigned int)(done / GMIG_PAGE_BYTES);
}

/*
 * The kernel says EEXIST when somebody else, a debugger that reads for example, has filled the slot after it was taken: it
 * is emptied, and the rest moved. Those who read without end get their way: the next pass tries again.
 */
static unsigned int unmap(const struct run *run, int *error)
{
	struct frames *frames = run->request->gmig->frames;
	struct slot *source = run->request->source;
	unsigned int done = 0, moved, tries = 0;

	do {
		size_t at = done * GMIG_PAGE_BYTES;
		struct uffd_move move = {frame_uffd(frames), run_at(run, source) + at,
					 run_region(run) + at,
					 (run->count - done) * GMIG_PAGE_BYTES, false};

		moved = pages_move(run, source, &move, error);
		bits_set_range(&source->have, run->first + done, moved);
		done += moved;
		source->split |= source->huge && moved && moved < run->count;
	} while (*error == -EEXIST && tries++ < EMPTY_TRIES && frame_empty(frames, source) > 0);
	return done;
}

/* slot -> region for `count` pages from page `first` of the block */
static unsigned int map(const struct run *run, struct slot *slot, unsigned int first,
			unsigned int count, int *error)
{
	size_t at = first * GMIG_PAGE_BYTES;
	struct uffd_move move = {run->uffd,
				 region_hva(run->request->region, run->request->block_gfn + first),
				 slot->hva + at, count * GMIG_PAGE_BYTES, true};
	unsigned int done = pages_move(run, slot, &move, error);

	bits_clear_range(&slot->have, first, done);
	slot->split |= slot->huge && done && done < count;
	return done;
}

/*
 * Pages first..first+count are out in the source slot: bring them in again, from `slot` (the target
 * with the copy, or the source). Tries long, because there is no other way: asleep is better than
 * lost. Returns the pages brought in.
 */
static unsigned int bring_in(const struct run *run, struct slot *slot, unsigned int first,
			     unsigned int count, unsigned int tries)
{
	unsigned int done = 0, ours;
	int error = 0;

	while (done < count) {
		done += map(run, slot, first + done, count - done, &error);
		if (done == count || (error == -EFAULT && !frame_page_works(slot, first + done)))
			break;
		ours = error == -EEXIST
			   ? uffd_frames_moved(run->result, slot, first + done, count - done)
			   : 0;
		if (ours) {
			bits_clear_range(&slot->have, first + done, ours);
			done += ours;
		} else if (tries-- == 0) {
			break;
		} else {
			run->request->gmig->sys->sleep_ns(PUTBACK_NS);
		}
	}
	if (done < count)
		run_fail(run, first + done, count - done, error ? error : -EIO);
	return done;
}

/* ---- Putback ------------------------------------------------------------------------------- */

static void lose(const struct run *run, unsigned int first, const char *what)
{
	int error = run->result->error[first];

	run->result->lost = true;
	engine_fatal(
	    run->request->gmig, error, "gfn 0x%llx: %s failed with %s; the block stays closed",
	    (unsigned long long)(run->request->block_gfn + first), what, gmig_errno_name(error));
}

/* Give writers their right back. A page that was unmapped has no protection any more. */
static void unprotect(const struct run *run, unsigned int first, unsigned int count)
{
	struct gmig *gmig = run->request->gmig;
	uint8_t *start = region_hva(run->request->region, run->request->block_gfn + first);
	int ret = 0;

	if (!count || !run->write_blackout_from)
		return;
	for (unsigned int i = 0; i < PUTBACK_TRIES; i++) {
		ret = uffd_protect(gmig->sys, run->uffd, start, count * GMIG_PAGE_BYTES, false);
		if (!ret)
			return;
		gmig->sys->sleep_ns(PUTBACK_NS);
	}
	run_fail(run, first, count, ret);
	lose(run, first, "giving the right to write back");
}

/* false: it can be read, or is not to be had as a page that cannot be. */
static bool give_up(const struct run *run, unsigned int page)
{
	if (!uffd_lost(run->request->gmig, run->request->region, run->request->source,
		       run->request->block_gfn + page))
		return false;
	bits_set(&run->result->broken, page);
	run_fail(run, page, 1, -EIO);
	return true;
}

static void putback(const struct run *run, unsigned int first, unsigned int count, int error)
{
	unsigned int end = first + count;

	while (first < end) {
		unsigned int done =
		    bring_in(run, run->request->source, first, end - first, PUTBACK_TRIES);

		run_fail(run, first, done, error);
		first += done;
		if (first < end && !give_up(run, first)) {
			lose(run, first, "putback");
			return;
		}
		first += first < end;
	}
}

/* One page of the run cannot be read; the others are tried again: those of a huge page as small ones, since the kernel splits it. */
static void rest_again(const struct run *run, unsigned int broken, int error)
{
	if (error != -EIO && error != -EFAULT)
		return;
	run_fail(run, run->first, run->count, -EAGAIN);
	run_fail(run, broken, 1, -EIO);
}

/* ---- One run ------------------------------------------------------------------------------- */

static void blackout_record(const struct run *run, uint64_t from, struct hist *engine,
			    struct hist *job, uint64_t *longest_ns)
{
	uint64_t ns = run_now(run) - from;

	if (!from)
		return;
	if (ns > *longest_ns)
		*longest_ns = ns;
	hist_record(engine, ns);
	if (job)
		hist_record(job, ns);
}

/*
 * out pages are in the source slot and copies of the first `copied` of them in the target: remap.
 * What cannot be remapped goes back. A huge block goes whole or not at all.
 */
static void remap(const struct run *run, unsigned int out, unsigned int copied, int error)
{
	struct slot *target = run->request->target;
	unsigned int in = 0;

	if (copied < out)
		error = copy_error(run, run->first + copied);
	if (run->request->huge && copied < run->count) {
		putback(run, run->first, out, error);
		rest_again(run, run->first + copied, error);
		return;
	}
	in = bring_in(run, target, run->first, copied, 3);
	bits_set_range(&run->result->moved, run->first, in);
	if (in < copied) {
		error = run->result->error[run->first + in];
		target->suspect |= error == -EIO;
	}
	if (target->suspect)
		error = -EAGAIN;
	if (in < out)
		putback(run, run->first + in, out - in, error);
	if (copied < out && in == copied)
		rest_again(run, run->first + copied, error);
}

/* Moving one huge page takes one flush each way, which is not worth a pause. */
static void hold_vcpus(const struct run *run, bool on)
{
	const struct request *request = run->request;
	const struct gmig_options *options = &request->gmig->options;

	if (request->hold_vcpus && !request->huge)
		options->hold_vcpus(options->opaque, on);
}

/* Unmap, remap. Returns the pages that left their old frame or were put back; fewer than count: error says why. */
static unsigned int exchange(struct run *run, int *error)
{
	const struct request *request = run->request;
	unsigned int out, copied;
	uint64_t from_ns;

	hold_vcpus(run, true);
	from_ns = run_now(run);
	out = copied = unmap(run, error);
	if (request->mode == GMIG_MODE_BLOCK) {
		copied = copy_run(run, run_at(run, request->source), out);
	}
	remap(run, out, copied, *error);
	hold_vcpus(run, false);
	blackout_record(run, from_ns, &request->gmig->blackout_read, request->blackout_read,
			&run->result->blackout_read_ns);
	if (request->mode == GMIG_MODE_BLOCK)
		blackout_record(run, from_ns, &request->gmig->blackout_write,
				request->blackout_write, &run->result->blackout_write_ns);
	return out;
}

/* Small pages are exchanged in parts, since each page costs time in which nobody reaches it. */
static unsigned int part_size(const struct run *run)
{
	const struct request *request = run->request;

	if (request->huge)
		return run->count;
	if (request->batch_pages)
		return request->batch_pages;
	return request->mode == GMIG_MODE_READABLE ? BATCH_PAGES : run->count;
}

/* readable: the run has been protected. */
static void run_move(struct run *run)
{
	const struct request *request = run->request;
	bool readable = request->mode == GMIG_MODE_READABLE;
	unsigned int part_pages = part_size(run);
	unsigned int done = 0, count = run->count, broken;
	int error = 0, why_short = 0;

	if (readable) {
		claim_read_begin(request->claim);
		count = copy_run(run, run_region(run), run->count);
		claim_read_end(request->claim);
	}
	if (count < run->count)
		why_short = copy_error(run, run->first + count);
	broken = run->first + count;
	if (why_short && request->huge)
		count = 0;
	request->target->clean = false;
	while (done < count) {
		struct run part = *run;
		unsigned int out;

		part.first += done;
		part.count = count - done < part_pages ? count - done : part_pages;
		out = exchange(&part, &error);
		done += out;
		if (out < part.count)
			break;
	}
	if (done < run->count) {
		if (error)
			broken = run->first + done;
		else
			error = why_short;
		run_fail(run, run->first + done, run->count - done, error);
		rest_again(run, broken, error);
		if (readable)
			unprotect(run, run->first + done, run->count - done);
	}
	blackout_record(run, run->write_blackout_from, &request->gmig->blackout_write,
			request->blackout_write, &run->result->blackout_write_ns);
}

/* ---- Looking before moving ----------------------------------------------------------------- */

/* Pages without a frame of their own. A zero page may only be thrown away while it cannot be
 * written. */
static void discard_zero(const struct request *request, struct mover_ticket *result, int uffd,
			 const struct bits *zero)
{
	struct gmig *gmig = request->gmig;
	uint8_t *block = region_hva(request->region, request->block_gfn);
	unsigned int first = 0, count;
	struct uffd_scan scan;

	while ((count = bits_run(zero, &first))) {
		struct run run = {request, result, first, count, uffd, 1};
		uint8_t *start = block + first * GMIG_PAGE_BYTES;
		size_t bytes = count * GMIG_PAGE_BYTES;
		struct bits written;
		int ret = uffd_protect(gmig->sys, uffd, start, bytes, true);

		bits_clear_all(&written);
		bits_set_range(&written, first, count);
		if (!ret)
			ret = request->region->kind->scan(gmig, request->region, request->block_gfn,
							  &scan);
		if (!ret)
			bits_remove(&written, &scan.zero);
		if (!ret && bits_empty(&written))
			ret = request->region->kind->discard(gmig, request->region,
							     request->block_gfn + first, count);
		else if (!ret)
			ret = -EAGAIN;
		if (ret) {
			run_fail(&run, first, count, ret);
			unprotect(&run, first, count);
		} else {
			bits_set_range(&result->gone, first, count);
		}
		first += count;
	}
}

/* What can be moved: *pages loses holes and zero pages, which are discarded. false: the block is not huge any more. */
static bool scan_first(const struct request *request, struct mover_ticket *result, int uffd,
		       struct bits *pages)
{
	struct gmig *gmig = request->gmig;
	struct bits holes = *pages, zero = {{0}};
	struct uffd_scan scan;

	if (request->region->kind->scan(gmig, request->region, request->block_gfn, &scan))
		return true; /* believe the table: a wrong belief fails in the move */
	if (request->huge) {
		result->split = !scan.huge;
		return scan.huge;
	}
	bits_remove(&holes, &scan.present);
	bits_add(&result->gone, &holes);
	bits_remove(pages, &holes);
	for (unsigned int i = 0; i < BITS_WORDS; i++)
		zero.word[i] = scan.zero.word[i] & pages->word[i];
	bits_remove(pages, &zero);
	if (!bits_empty(&zero))
		discard_zero(request, result, uffd, &zero);
	return true;
}

static void huge_move(const struct request *request, struct mover_ticket *result, int uffd)
{
	struct run run = run_of(request, result, uffd, 0, GMIG_BLOCK_PAGES);
	struct bits pages = request->pages;
	int ret;

	if (request->mode == GMIG_MODE_READABLE) {
		run.write_blackout_from = run_now(&run);
		ret = uffd_protect(request->gmig->sys, uffd, run_region(&run), GMIG_BLOCK_BYTES,
				   true);
		if (ret || !scan_first(request, result, uffd, &pages)) {
			run_fail(&run, 0, GMIG_BLOCK_PAGES, ret ? ret : -EAGAIN);
			unprotect(&run, 0, GMIG_BLOCK_PAGES);
			return;
		}
	} else if (!scan_first(request, result, uffd, &pages)) {
		run_fail(&run, 0, GMIG_BLOCK_PAGES, -EAGAIN);
		return;
	}
	run_move(&run);
}

/* After a page that does not move, the run goes on behind it; but not for ever, since each try
 * copies the rest. */
#define STUMBLES 8

static void small_run(const struct request *request, struct mover_ticket *result, int uffd,
		      unsigned int first, unsigned int count)
{
	struct run run = run_of(request, result, uffd, first, count);
	int ret;

	if (request->mode == GMIG_MODE_READABLE) {
		run.write_blackout_from = run_now(&run);
		ret = uffd_protect(request->gmig->sys, uffd, run_region(&run),
				   count * GMIG_PAGE_BYTES, true);
		if (ret) {
			run_fail(&run, first, count, ret);
			unprotect(&run, first, count);
			return;
		}
	}
	run_move(&run);
}

/* The first page of the run that stayed; first + count: none did. */
static unsigned int first_failed(const struct mover_ticket *result, unsigned int first,
				 unsigned int count)
{
	for (unsigned int i = first; i < first + count; i++)
		if (!bits_get(&result->moved, i) && result->error[i])
			return i;
	return first + count;
}

static unsigned int run_size(const struct request *request, unsigned int count)
{
	return request->run_pages && count > request->run_pages ? request->run_pages : count;
}

static void run_over(const struct request *request, const struct mover_ticket *result,
		     unsigned int first, unsigned int count)
{
	if (request->run_pages && !result->lost)
		claim_part_over(request->claim, first, count, request->stall);
}

/* The page that somebody waits for, and those behind it, go before the others. Of what goes at once the order is no matter. */
static void divide(const struct request *request, const struct bits *pages, struct bits half[2])
{
	unsigned int first = request->run_pages ? request->first_page : 0;

	half[0] = half[1] = *pages;
	bits_clear_range(&half[0], 0, first);
	bits_clear_range(&half[1], first, GMIG_BLOCK_PAGES - first);
}

/*
 * Run by run. A page that stays ends its run, and those behind it that stayed because of it are tried
 * again, but not for ever. A page that moved is never taken up again.
 */
static void small_pages(const struct request *request, struct mover_ticket *result, int uffd,
			struct bits *pages)
{
	unsigned int first = 0, count, stumbles = 0;

	while ((count = run_size(request, bits_run(pages, &first))) && !result->lost) {
		unsigned int failed;

		small_run(request, result, uffd, first, count);
		bits_remove(pages, &result->moved);
		failed = first_failed(result, first, count);
		if (failed < first + count && !result->lost && ++stumbles < STUMBLES) {
			bits_clear_range(pages, first, failed + 1 - first);
			for (unsigned int i = failed + 1; i < first + count; i++)
				result->error[i] = 0;
			count = failed + 1 - first;
		}
		run_over(request, result, first, count);
		first += count;
	}
}

static void small_move(const struct request *request, struct mover_ticket *result, int uffd)
{
	struct bits pages = request->pages, half[2];

	scan_first(request, result, uffd, &pages);
	divide(request, &pages, half);
	for (unsigned int i = 0; i < 2; i++)
		small_pages(request, result, uffd, &half[i]);
}

/* ---- Mode LAZY -------------------------------------------------------------------------------- */

/* Into the source slot. A page that does not go ends its run, and those behind it are tried again, but not for ever. */
static void take_out(const struct request *request, struct mover_ticket *ticket,
		     const struct bits *pages, int uffd)
{
	unsigned int first = 0, count, stumbles = 0;

	while (stumbles < STUMBLES && (count = bits_run(pages, &first))) {
		struct run run = run_of(request, ticket, uffd, first, count);
		int error = 0;
		unsigned int out = unmap(&run, &error);

		if (out < count && request->huge) {
			putback(&run, 0, out, error);
			run_fail(&run, out, count - out, error);
			return;
		}
		bits_set_range(&ticket->out, first, out);
		first += out;
		if (out == count)
			continue;
		run_fail(&run, first, GMIG_BLOCK_PAGES - first, error);
		first++;
		stumbles++;
	}
}

/* Only writers will miss anything. */
static void take_right(const struct request *request, struct mover_ticket *ticket,
		       const struct bits *pages, int uffd)
{
	unsigned int first = 0, count;

	while ((count = bits_run(pages, &first))) {
		struct run run = {request, ticket, first, count, uffd, 1};
		int ret = uffd_protect(request->gmig->sys, uffd, run_region(&run),
				       count * GMIG_PAGE_BYTES, true);

		if (ret) {
			run_fail(&run, first, count, ret);
			unprotect(&run, first, count);
		} else {
			bits_set_range(&ticket->out, first, count);
		}
		first += count;
	}
}

static void take_away(const struct request *request, struct mover_ticket *ticket, int uffd)
{
	struct run whole = {.request = request, .result = ticket, .uffd = uffd};
	struct bits pages = request->pages;

	if (!scan_first(request, ticket, uffd, &pages))
		run_fail(&whole, 0, GMIG_BLOCK_PAGES, -EAGAIN);
	else if (ticket->claim.in_place)
		take_right(request, ticket, &pages, uffd);
	else
		take_out(request, ticket, &pages, uffd);
}

/*
 * The kernel may have swapped out what lay in the slot for long. What UFFDIO_MOVE moves while it is in swap could keep its
 * userfaultfd bit for good (swap_in.h), so that it is read in first.
 */
static void read_slot_in(const struct request *request)
{
	const struct gmig *gmig = request->gmig;
	struct uffd_scan scan;

	if (!uffd_scan(gmig->sys, gmig->pagemap, request->source->hva, &scan) &&
	    !bits_empty(&scan.swapped))
		gmig->sys->advise(request->source->hva, GMIG_BLOCK_BYTES, MADV_POPULATE_READ);
}

static void give_back(const struct request *request, struct mover_ticket *ticket, int uffd,
		      int error)
{
	unsigned int first = 0, count;

	if (!ticket->claim.in_place)
		read_slot_in(request);
	while ((count = bits_run(&ticket->out, &first)) && !ticket->lost) {
		struct run run = {request, ticket, first, count, uffd, 1};

		if (ticket->claim.in_place) {
			run_fail(&run, first, count, error);
			unprotect(&run, first, count);
		} else {
			putback(&run, first, count, error);
		}
		first += count;
	}
}

static void bring_pages(const struct request *request, struct mover_ticket *ticket,
			const struct bits *pages, int uffd)
{
	unsigned int first = 0, count;

	while ((count = run_size(request, bits_run(pages, &first))) && !ticket->lost) {
		struct run run = run_of(request, ticket, uffd, first, count);
		uint64_t from_ns = run_now(&run);
		unsigned int copied = copy_run(&run, run_at(&run, request->source), count);

		remap(&run, count, copied, 0);
		blackout_record(&run, from_ns, &request->gmig->blackout_read,
				request->blackout_read, &ticket->blackout_read_ns);
		blackout_record(&run, from_ns, &request->gmig->blackout_write,
				request->blackout_write, &ticket->blackout_write_ns);
		run_over(request, ticket, first, count);
		first += count;
	}
}

/* Copy, remap. Its content has waited in the source slot. */
static void bring_out(const struct request *request, struct mover_ticket *ticket, int uffd)
{
	struct bits half[2];

	request->target->clean = false;
	divide(request, &ticket->out, half);
	for (unsigned int i = 0; i < 2; i++)
		bring_pages(request, ticket, &half[i], uffd);
}

/* ---- A ticket ------------------------------------------------------------------------------------ */

static struct request request_of(const struct mover_worker *worker, struct mover_ticket *ticket)
{
	return (struct request){
	    .gmig = engine_of(worker->job->memory),
	    .claim = &ticket->claim,
	    .region = ticket->claim.region,
	    .block_gfn = ticket->block_gfn,
	    .mode = ticket->mode,
	    .batch_pages = worker->job->spec.batch_pages,
	    .run_pages = ticket->huge ? 0 : ticket->run_pages,
	    .first_page = ticket->first_page,
	    .hold_vcpus = worker->job->spec.hold_vcpus,
	    .huge = ticket->huge,
	    .pages = ticket->pages,
	    .target = ticket->target,
	    .source = ticket->source,
	    .blackout_read = &worker->job->blackout_read,
	    .blackout_write = &worker->job->blackout_write,
	    .stall = &worker->job->stall,
	};
}

static int uffd_of(const struct request *request)
{
	return request->gmig->vnodes[request->region->vnode].uffd;
}

/*
 * Each call that takes a right away or gives it back interrupts the CPUs that run the guest, and waits for them. By CPU
 * time: what this thread waits for a CPU of its own holds up nobody but those who sleep on the claim.
 */
static void note_held(const struct request *request, struct mover_ticket *ticket, uint64_t begin_ns)
{
	ticket->held_ns = request->gmig->sys->ran_ns() - begin_ns - ticket->copy_ns;
}

static void uffd_move_ticket(struct mover_worker *worker, struct mover_ticket *ticket)
{
	int ret = ticket->demote ? uffd_frames_demote(worker, ticket) : 0;
	const struct request request = request_of(worker, ticket);
	uint64_t begin_ns = request.gmig->sys->ran_ns();

	if (ret)
		run_fail(&(struct run){.result = ticket}, 0, GMIG_BLOCK_PAGES, ret);
	else if (request.mode == GMIG_MODE_LAZY)
		take_away(&request, ticket, uffd_of(&request));
	else if (request.huge)
		huge_move(&request, ticket, uffd_of(&request));
	else
		small_move(&request, ticket, uffd_of(&request));
	note_held(&request, ticket, begin_ns);
}

static void uffd_give_back(struct mover_worker *worker, struct mover_ticket *ticket, int error)
{
	const struct request request = request_of(worker, ticket);
	uint64_t begin_ns = request.gmig->sys->ran_ns();

	give_back(&request, ticket, uffd_of(&request), error);
	note_held(&request, ticket, begin_ns);
}

static void uffd_bring(struct mover_worker *worker, struct mover_ticket *ticket)
{
	int ret = uffd_frames_bring(worker, ticket);
	struct request request;
	uint64_t begin_ns;

	if (!ret && ticket->demote)
		ret = uffd_frames_demote(worker, ticket);
	if (ret) {
		uffd_give_back(worker, ticket, ret);
		return;
	}
	ticket->mode = ticket->claim.in_place ? GMIG_MODE_READABLE : GMIG_MODE_BLOCK;
	request = request_of(worker, ticket);
	begin_ns = request.gmig->sys->ran_ns();
	if (!ticket->claim.in_place) {
		bring_out(&request, ticket, uffd_of(&request));
	} else {
		request.pages = ticket->out;
		if (request.huge)
			huge_move(&request, ticket, uffd_of(&request));
		else
			small_move(&request, ticket, uffd_of(&request));
	}
	note_held(&request, ticket, begin_ns);
}

static void uffd_move_all(struct mover_worker *worker, struct mover_ticket **tickets,
			  unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		uffd_move_ticket(worker, tickets[i]);
}

static int uffd_check(const struct memory *memory, const struct gmig_job_spec *spec,
		      struct gmig_error *err)
{
	if (spec->frames > GMIG_FRAMES_RECYCLED)
		return gmig_fail(err, -EINVAL, "frames %d is not known", (int)spec->frames);
	if (spec->hold_vcpus && !((const struct gmig *)memory)->options.hold_vcpus)
		return gmig_fail(err, -EOPNOTSUPP, "hold-vcpus: this VMM cannot hold its vCPUs");
	return 0;
}

const struct mover mover_uffd = {
    .name = "uffd",
    .tickets = 1,
    .memory = BOOKS_SLOT,
    .check = uffd_check,
    .begin = uffd_frames_begin,
    .end = uffd_frames_end,
    .workers = uffd_frames_workers,
    .worker_begin = uffd_frames_worker_begin,
    .worker_end = uffd_frames_worker_end,
    .prepare = uffd_frames_prepare,
    .move = uffd_move_all,
    .finish = uffd_frames_finish,
    .bring = uffd_bring,
    .give_back = uffd_give_back,
};
