/*
 * The life of one entry of the shadow table, as the engine's code carries it out (docs/model.md says what is modelled and
 * what is not). One block that moves as a whole, two nodes, four frames; jobs, vCPUs, the fault thread, a discard, and by
 * -DOTHERS and -DDEVICE what the kernel and devices do besides.
 *
 * Where the code holds stripe.lock and calls nothing that a thread without the lock could see, there is one atomic step.
 * Where it calls the kernel under the lock, `locked` is true and each call is a step. Each call without the lock is a step.
 *
 *   claim.c         claim(), settle()            fault.c, first_touch.c    fault
 *   mover_uffd.c    job, from `protect` on       audit_block.c             audit
 *   uffd_frames.c   frame_take(), frame_give()   dma.c, busy.c             device
 */

/* ---- Bounds (tests/model/run has those of each run) -------------------------------------------- */

#ifndef JOBS
#define JOBS 2
#endif
/* Which jobs use the modes readable and block, and which the two kinds of lazy: 1 the first, 2 the second, 3 both. */
#ifndef EAGER
#define EAGER 3
#endif
#ifndef PATIENT
#define PATIENT 3
#endif

#define FRAMES 3
#define NODE(frame) ((frame) > 0) /* frame 0 is node 0's, frames 1 and 2 are node 1's */
#define NO	7  /* no frame: a hole, or an empty slot */
#define IN_SWAP 6  /* no frame: the content is in swap */
#define VCPUS	2
#define THREADS 4 /* two vCPUs and two copy workers: who may sleep on the page */
#define NOBODY	7

/* ---- What there is ----------------------------------------------------------------------------- */

/* The entry: migrate/memory/shadow.h. */
mtype:state = {NONE, PRESENT, CLAIMED, COPYING, SWAPPED, HINT};
mtype:event = {TOUCH, CLAIM, CLOSE, SETTLE, PUTBACK, DISCARD, CORRECT, SWAP_OUT, WAIT, PICK};
mtype:state state = NONE;
byte node = NO, target = NO, owner = NO;

/* What the kernel has at the guest's address: a frame, NO or IN_SWAP, and a write protection. */
byte map = NO;
bool protected;

/* Where a frame is. TARGET, SOURCE: in a slot of a job or of the fault thread; a SOURCE holds the guest's content, an OLD is one
 * whose content the target has taken over. */
mtype:place = {KERNEL, POOL, TARGET, SOURCE, OLD, REGION, QUARANTINE};
mtype:place where[FRAMES] = KERNEL;

/*
 * What a frame holds is either what the guest has written last, or not: a write makes it so where it goes to, and not so
 * anywhere else; a copy copies that. So the guest may write as often as it likes.
 */
bool latest[FRAMES], latest_in_swap;
bool zeros_are_latest = true; /* nobody has written since the page was empty, or was thrown away */

/* The ledger, by node. OUTSIDE is the negative sum of these. */
byte mapped[2], pool[2], flight[2], quarantined[2];

bool locked;			  /* stripe.lock */
mtype:message = {MISSING, WRITE_PROTECTED};
mtype:message message[THREADS];	  /* 0: none that was not yet read */
bool sleeping[THREADS];
bool starved;			  /* somebody sleeps because there was no memory */
bool noted[VCPUS];		  /* in the list of those that sleep on a claim */
bool touched[2];		  /* the claim of a job was told of a touch */
bool reads[2];			  /* claim.reader: the job's worker reads the page in the region */
byte copied[2] = NO;		  /* the frame that a job copies from just now */
bool over[2];			  /* the job has ended */
bool fatal;			  /* a putback failed: the guest ends, its content is still in the slot */
byte pinned = NO;		  /* by a device */
bool wants_discard;		  /* the guest gives the page back */
bool busy;			  /* a transfer was announced */

/* What only the model knows: */
bool thrown; /* somebody threw the page away behind the table's back, and nobody has written to it since */
bool behind; /* somebody did something that the table does not know yet */

/* ---- The invariants ---------------------------------------------------------------------------- */

#define HOLDS(frame) (where[frame] == REGION || where[frame] == SOURCE)
#define HOLDERS	     (HOLDS(0) + HOLDS(1) + HOLDS(2) + (map == IN_SWAP))
#define I1	     (locked || HOLDERS == (state != NONE) || (thrown && HOLDERS == 0))
#define TAKEN(n)     ((where[n] != KERNEL) + (n && where[2] != KERNEL))
#define BOOKED(n)    (mapped[n] + pool[n] + flight[n] + quarantined[n])
#define IS(n, place) ((where[n] == place) + (n && where[2] == place))
#define RESTING	     (over[0] && over[JOBS - 1] && !fatal)
#define I4_NODE(n)                                                                                 \
	(TAKEN(n) == BOOKED(n) &&                                                                  \
	 (!RESTING || (mapped[n] == IS(n, REGION) && pool[n] == IS(n, POOL) && flight[n] == 0 &&   \
		       quarantined[n] == IS(n, QUARANTINE))))
#define I4   (locked || behind || (I4_NODE(0) && I4_NODE(1)))
#define OPEN (state == NONE || state == PRESENT || state == SWAPPED)
#define I5   (!RESTING || OPEN)
/* Beside them, what the audit calls a breach: nothing that is open is left write-protected. */
#define UNPROTECTED (locked || !OPEN || !protected)

ltl safe { [] (I1 && I4 && I5 && UNPROTECTED) }
#ifdef DISCARDS
ltl given_back { [] (wants_discard -> <> (!wants_discard || fatal)) }
#endif
ltl woken_0 { [] (sleeping[0] -> <> (!sleeping[0] || fatal)) }
ltl woken_1 { [] (sleeping[1] -> <> (!sleeping[1] || fatal)) }

/* ---- The table --------------------------------------------------------------------------------- */

/* For tests/model/compare: the transitions that a search has taken. It is no part of the model's state. */
hidden byte was, why;
hidden byte ok; /* of the step that is under way: it was not refused */
hidden byte got;
c_decl {
	static unsigned char transition_taken[64][64];
	static void print_taken(void)
	{
		for (int i = 0; i < 64 * 64; i++)
			if (transition_taken[0][i])
				printf("taken %d %d\n", i / 64, i % 64);
	}
	static void note_taken(int state, int event)
	{
		static int registered;

		if (!registered++)
			atexit(print_taken);
		transition_taken[state][event] = 1;
	}
};

/*
 * The one place that changes a state, line by line as `transitions` in shadow.c: tests/model/compare reads these lines, and
 * those that say `never`. Inside an atomic step. nd: where it lies (TOUCH, CORRECT), or goes (CLAIM).
 *
 * never CLAIMED DISCARD: a claim is CLAIMED only while stripe.lock is held
 * never SWAPPED DISCARD: no search has both a guest that gives pages back and a kernel that swaps
 */
inline change(event, nd)
{
	was = state;
	why = event;
	ok = true;
	if
	:: state == NONE && event == TOUCH -> state = PRESENT
	:: state == PRESENT && event == CLAIM -> state = CLAIMED
	:: state == PRESENT && event == DISCARD -> state = NONE
	:: state == PRESENT && event == CORRECT -> state = PRESENT
	:: state == PRESENT && event == SWAP_OUT -> state = SWAPPED
	:: state == CLAIMED && event == CLOSE -> state = COPYING
	:: state == CLAIMED && event == PUTBACK -> state = PRESENT
	:: state == CLAIMED && event == DISCARD -> state = NONE
	:: state == COPYING && event == SETTLE -> state = PRESENT
	:: state == COPYING && event == PUTBACK -> state = PRESENT
	:: state == COPYING && event == WAIT -> state = HINT
	:: state == HINT && event == PICK -> state = COPYING
	:: state == SWAPPED && event == DISCARD -> state = NONE
	:: state == SWAPPED && event == CORRECT -> state = PRESENT
	:: else -> ok = false
	fi;
	if
	:: ok ->
		c_code { note_taken(was, why); };
		if
		:: event == TOUCH || event == CORRECT -> node = nd
		:: event == CLAIM || event == PICK -> target = nd
		:: event == SETTLE -> node = target
		:: event == DISCARD -> node = NO
		:: else
		fi;
		if
		:: state == NONE || state == PRESENT -> target = NO; owner = NO
		:: else
		fi
	:: else
	fi
}

/* ---- The kernel -------------------------------------------------------------------------------- */

/* UFFDIO_WAKE, and what other calls do of it. Messages that nobody has read yet vanish. */
inline wake()
{
	sleeping[0] = false;
	sleeping[1] = false;
	sleeping[2] = false;
	sleeping[3] = false;
	message[0] = 0;
	message[1] = 0;
	message[2] = 0;
	message[3] = 0
}

/* A frame of the kernel's, on node nd if there is one. What the pools have goes first (frame_drain_all()). NO: there is none. */
#define FROM(a, b, c, place, otherwise) \
	(where[a] == place -> a : (where[b] == place -> b : (where[c] == place -> c : otherwise)))
inline kernel_frame(nd, out)
{
	if
	:: nd == 0 -> out = FROM(0, 1, 2, KERNEL, FROM(0, 1, 2, POOL, NO))
	:: else -> out = FROM(1, 2, 0, KERNEL, FROM(1, 2, 0, POOL, NO))
	fi;
	if
	:: out != NO && where[out] == POOL -> pool[NODE(out)]--
	:: else
	fi
}

inline to_kernel(frame)
{
	where[frame] = KERNEL;
	latest[frame] = false
}

/* Whoever touches a page that is in swap has the kernel bring it back. */
inline swap_in()
{
	if
	:: map == IN_SWAP ->
		if
		:: true -> kernel_frame(0, got)
		:: true -> kernel_frame(1, got)
		fi;
		assert(got != NO);
		where[got] = REGION;
		latest[got] = latest_in_swap;
		latest_in_swap = false;
		map = got;
		behind = true
	:: else
	fi
}

/* MADV_DONTNEED. */
inline throw_away()
{
	if
	:: map < FRAMES -> to_kernel(map)
	:: else
	fi;
	map = NO;
	protected = false;
	latest_in_swap = false
}

/* A page of zeros comes in at the guest's address. */
inline map_zeros(frame)
{
	map = frame;
	where[frame] = REGION;
	latest[frame] = zeros_are_latest
}

/* ---- Frames ------------------------------------------------------------------------------------ */

/* A frame on node nd into a slot; NO: the node has none for us. */
inline frame_take(nd, out)
{
	out = (nd == 0 -> (where[0] == POOL || where[0] == KERNEL -> 0 : NO) : FROM(1, 2, 1, POOL, FROM(1, 2, 1, KERNEL, NO)));
	if
	:: out != NO ->
		if
		:: where[out] == POOL -> pool[nd]--
		:: else
		fi;
		where[out] = TARGET;
		flight[nd]++
	:: out = NO
	fi
}

/* A slot's frame goes to its pool or to the kernel. label: the node that the slot thinks it lies on; a frame elsewhere is found
 * out and goes to the kernel. */
inline frame_give(frame, label)
{
	flight[label]--;
	if
	:: NODE(frame) == label -> where[frame] = POOL; latest[frame] = false; pool[label]++
#ifndef KEEP_ALL
	:: true -> to_kernel(frame)
#else
	:: else -> to_kernel(frame)
#endif
	fi
}

inline quarantine(frame)
{
	flight[NODE(frame)]--;
	quarantined[NODE(frame)]++;
	where[frame] = QUARANTINE;
	latest[frame] = false
}

inline write(frame)
{
	/* I2 */
	assert(where[frame] == REGION && copied[0] != frame && copied[1] != frame);
	latest[0] = false;
	latest[1] = false;
	latest[2] = false;
	latest[frame] = true;
	zeros_are_latest = false;
	thrown = false
}

/* ---- vCPUs ------------------------------------------------------------------------------------- */

/* A vCPU reads or writes the page as often as it likes; or sleeps in the kernel until it is woken, and tries again. */
proctype vcpu(byte me; bool writes)
{
	do
	:: atomic { !sleeping[me] || fatal -> break }
	:: atomic {
		!sleeping[me] && !fatal ->
		swap_in();
		if
		:: map < FRAMES && !(writes && protected) ->
			if
			:: writes -> write(map)
			:: else -> assert(latest[map])
			fi
		:: else ->
			sleeping[me] = true;
			message[me] = (map == NO -> MISSING : WRITE_PROTECTED)
		fi
	   }
	od
}

/* ---- The fault thread -------------------------------------------------------------------------- */

/*
 * The entry is NONE, and there is a hole. The first step of two, under the lock: memory. A frame of ours, which is cleared and
 * moved in, or a page of zeros of the kernel's by UFFDIO_COPY. slot: it came from a slot.
 */
inline fill()
{
	assert(map == NO);
	frame_take(0, got);
	slot = (got != NO);
	if
	:: got != NO
	:: got == NO -> kernel_frame(0, got)
#ifdef STARVE
	:: got == NO /* there is no memory; whoever never has any sleeps for ever */
#endif
	fi;
	if
	:: got != NO -> map_zeros(got)
	:: else
	fi
}

/* Of statistics, and for claim_wait(). */
inline sleeper_note()
{
	if
	:: who < VCPUS -> noted[who] = true
	:: else
	fi
}

#define READER (who >= VCPUS && who < THREADS && kind == MISSING && owner == who - VCPUS && reads[owner])

active proctype fault()
{
	byte who = NOBODY;
	mtype:message kind = 0; /* a message that was read, and not yet served */
	bool holds, slot;

end:
	do
	:: atomic {
		!kind && (message[0] || message[1] || message[2] || message[3] || starved) ->
		if
		:: message[0] -> who = 0
		:: message[1] -> who = 1
		:: message[2] -> who = 2
		:: message[3] -> who = 3
		:: starved -> starved = false; kind = MISSING
		fi;
		if
		:: who != NOBODY -> kind = message[who]; message[who] = 0
		:: else
		fi
	   }
	:: atomic {
		/* serve(), under the lock; at one go where there is but one call of the kernel */
		kind && !locked ->
		if
		:: (state == CLAIMED || state == COPYING) && !READER -> sleeper_note()
		:: (state == CLAIMED || state == COPYING) && READER ->
			/* The worker itself has met a hole while it copies: a page that cannot be written. */
			if
			:: map == NO ->
				kernel_frame(node, got);
				assert(got != NO);
				map_zeros(got);
				protected = true;
				behind = true
			:: else
			fi;
			holds = true
		:: state == HINT ->
#ifdef FILL_HINT
			if
			:: map == NO -> kernel_frame(node, got); map_zeros(got); wake()
			:: else
			fi
#else
			/* Whoever has it wait moves it or gives it back, and wakes its toucher either way. */
			sleeper_note();
			touched[owner] = true
#endif
		:: state == NONE -> fill(); holds = true
		:: (state == PRESENT || state == SWAPPED) && map == NO ->
			/* repair_present() */
			assert(thrown);
			mapped[node] = mapped[node] - (state == PRESENT);
			change(DISCARD, 0);
			assert(ok);
			fill();
			holds = true
		:: (state == PRESENT || state == SWAPPED) && map != NO -> protected = false; wake()
		fi;
		locked = holds;
		who = NOBODY;
		kind = (holds -> kind : 0)
	   }
	:: atomic {
		holds ->
		if
		:: state == NONE && map == NO -> starved = true
		:: state == NONE && map != NO ->
			change(TOUCH, NODE(map));
			assert(ok);
			flight[NODE(map)] = flight[NODE(map)] - slot;
			mapped[NODE(map)]++;
			wake()
		:: else -> wake()
		fi;
		locked = false;
		holds = false;
		kind = 0;
		slot = false
	   }
	od
}

/* ---- Jobs -------------------------------------------------------------------------------------- */

#define WORKER (VCPUS + me)

/* The worker copies from this frame, until it says that it has. What the target holds meanwhile nobody sees. */
inline copy_begin(frame)
{
	copied[me] = frame;
	latest[to_frame] = latest[frame]
}

/* In the region: it may meet a hole that nobody knows of, or a page in swap. */
inline copy_from_region()
{
	do
	:: atomic {
		reads[me] = true;
		swap_in();
		if
		:: map < FRAMES -> copy_begin(map); break
		:: else -> sleeping[WORKER] = true; message[WORKER] = MISSING
		fi
	   };
		!sleeping[WORKER]
	od;
	atomic {
		copied[me] = NO;
		reads[me] = false;
		if
		:: true
		:: suspect = true; goto unprotect /* what is broken: the guest's memory, or the frame */
		fi
	}
}

/* scan_first(): *_gone if there is nothing to move. What cannot be scanned is believed to be there. */
inline scan()
{
	if
	:: map == NO -> gone = true; goto settle
	:: true
	fi
}

inline protect()
{
	if
	:: protected = (map != NO)
	:: goto unprotect
	fi
}

/* UFFDIO_MOVE, region -> source slot. The kernel refuses holes and pinned pages. */
inline unmap()
{
	if
	:: map != NO && !(map < FRAMES && map == pinned) ->
		swap_in();
		from_frame = map;
		where[from_frame] = SOURCE;
		map = NO;
		protected = false
	:: goto unprotect
	fi
}

mtype:job_mode = {READABLE, BLOCK, LAZY, LAZY_WRITE};

/* A job takes the block from the node `from` to the other one. It may be cancelled, or die, before each round. */
proctype job(byte me; byte from)
{
	byte to_frame = NO, from_frame = NO;
	mtype:job_mode mode = 0;
	bool moved, gone, suspect;

	do
	:: break /* it has come to its end, or is cancelled */
	:: atomic {
		!fatal && node == from && (state == PRESENT || state == HINT) ->
		if
		:: EAGER >> me & 1 -> mode = READABLE
		:: EAGER >> me & 1 -> mode = BLOCK
		:: PATIENT >> me & 1 -> mode = LAZY
		:: PATIENT >> me & 1 -> mode = LAZY_WRITE
		fi;
		if
		:: mode == READABLE || mode == BLOCK ->
			frame_take(1 - from, to_frame);
			if
			:: to_frame == NO -> goto next
			:: else
			fi
		:: else
		fi
	   };
		/* claim_take() */
		atomic {
			!locked ->
			if
			:: node == from && !busy && state == PRESENT ->
				change(CLAIM, 1 - from);
				assert(ok);
				owner = me;
				change(CLOSE, 0);
				assert(ok)
			:: state == HINT -> touched[owner] = true; goto finish /* claim_want() */
			:: else -> goto finish
			fi
		};
		/* What the mode takes away before the copy. */
#ifdef COPY_BEFORE_PROTECT
		if
		:: mode == READABLE -> copy_from_region()
		:: else
		fi;
#endif
#ifdef COPY_BEFORE_UNMAP
		if
		:: mode == BLOCK -> copy_from_region()
		:: else
		fi;
#endif
		atomic {
			scan();
			if
			:: mode == READABLE || mode == LAZY_WRITE -> protect()
			:: mode == BLOCK || mode == LAZY -> unmap()
			fi
		};
		if
		:: mode == LAZY || mode == LAZY_WRITE ->
			/* claim_wait() */
			atomic {
				!locked ->
				touched[me] = (noted[0] || noted[1]);
				change(WAIT, 0);
				assert(ok)
			};
			/* Until it is touched, or the job wants it back: deadline, cancel, a later command. */
			if
			:: true -> /* there is no deadline */
end_wait:			touched[me]
			:: true
			fi;
			/* claim_pick(); bring() takes a frame only now; or give_back() */
			atomic {
				!locked ->
				touched[me] = false;
				change(PICK, 1 - from);
				assert(ok);
				if
				:: frame_take(1 - from, to_frame)
				:: true
				fi;
				if
				:: to_frame == NO && mode == LAZY -> goto putback
				:: to_frame == NO && mode != LAZY -> goto unprotect
				:: else
				fi
			};
			if
			:: mode == LAZY_WRITE ->
				atomic { scan(); protect() }
			:: else
			fi
		:: else
		fi;
		if
		:: mode == READABLE || mode == LAZY_WRITE ->
#ifndef COPY_BEFORE_PROTECT
			copy_from_region();
#endif
			atomic { unmap() }
		:: else ->
#ifndef COPY_BEFORE_UNMAP
			atomic { copy_begin(from_frame) };
			atomic {
				copied[me] = NO;
				if
				:: true
				:: suspect = true; goto putback
				fi
			}
#endif
		fi;
		/* remap(): target slot -> region; bring_in() */
		atomic {
			if
			:: true ->
				/* Nobody fills a hole that is closed. */
				assert(map == NO);
				/* I2: the copy is what the guest wrote last. */
				assert(latest[to_frame]);
				map = to_frame;
				where[to_frame] = REGION;
				where[from_frame] = OLD;
				latest[from_frame] = false;
				moved = true;
#ifndef NO_WAKE
				wake();
#endif
				goto settle
			:: true
			fi
		};
putback:
		atomic {
#ifndef NO_PUTBACK
			if
			:: true ->
				assert(map == NO);
				map = from_frame;
				where[from_frame] = REGION;
				from_frame = NO;
#ifndef NO_WAKE
				wake()
#endif
			:: fatal = true
			fi;
#endif
			goto settle
		};
unprotect:
		atomic {
			if
			:: mode == BLOCK || mode == LAZY
			:: mode == READABLE || mode == LAZY_WRITE -> protected = false; wake()
			:: mode == READABLE || mode == LAZY_WRITE -> fatal = true
			fi
		};
settle:
		atomic {
			!locked ->
			if
			:: fatal -> break /* claim_abandon() */
			:: moved ->
				change(SETTLE, 0);
				mapped[from]--;
				flight[from]++;
				flight[1 - from]--;
				mapped[1 - from]++
			:: else -> change(PUTBACK, 0)
			fi;
			assert(ok);
			noted[0] = false;
			noted[1] = false;
			if
			:: gone -> mapped[from]--; change(DISCARD, 0); assert(ok)
			:: else
			fi
		};
		/* engine_wake() */
#if !defined(NO_WAKE) && !defined(SETTLE_WAKES_NOBODY)
		atomic { wake() };
#endif
finish:
		/* uffd_frames_finish() */
		atomic {
			if
			:: to_frame != NO && where[to_frame] == TARGET ->
				if
				:: suspect && !quarantined[0] && !quarantined[1] -> quarantine(to_frame)
				:: frame_give(to_frame, 1 - from)
				fi
#ifdef COUNTED_TWICE
			:: moved -> flight[1 - from]--; pool[1 - from]++
#endif
			:: else
			fi;
			if
			:: moved -> frame_give(from_frame, from)
			:: else
			fi;
next:
			to_frame = NO;
			from_frame = NO;
			mode = 0;
			moved = false;
			gone = false;
			suspect = false
		}
	od;
	atomic {
		over[me] = true;
		to_frame = NO;
		from_frame = NO;
		mode = 0;
		/* I5 */
		assert(fatal || owner != me || OPEN)
	}
}

/* ---- Discard ----------------------------------------------------------------------------------- */

/* The guest gives the page back: an event of the entry, which waits while it is copied. */
proctype discard()
{
	bool holds;

	do
	:: atomic { !wants_discard && !holds -> break }
	:: atomic { fatal && !holds -> break }
	:: atomic { !wants_discard && !holds && !fatal -> wants_discard = true }
	:: atomic {
		wants_discard && !holds && !fatal && !locked && state != CLAIMED && state != COPYING &&
			!(state == HINT && touched[owner]) ->
		if
		:: state == PRESENT || state == SWAPPED ->
			throw_away();
			latest[0] = false;
			latest[1] = false;
			latest[2] = false;
			zeros_are_latest = true;
			thrown = false;
			locked = true;
			holds = true
		:: state == NONE -> wants_discard = false
		:: state == HINT -> touched[owner] = true /* claim_want() */
		fi
	   }
	:: atomic {
		holds ->
#ifndef DISCARD_PAST_THE_BOOKS
		mapped[node] = mapped[node] - (state == PRESENT);
#endif
		change(DISCARD, 0);
		assert(ok);
		wants_discard = false;
		locked = false;
		holds = false
	   }
	od
}

/* ---- What the kernel does by itself, and the audit that finds it -------------------------------- */

#ifdef OTHERS

/* OTHERS: so many things. */
proctype kernel()
{
	byte left = OTHERS;

	do
	:: break
	:: atomic {
		left && state == PRESENT && map < FRAMES ->
		left--;
		behind = true;
		if
		:: map == 0 && where[1] == KERNEL || map == 1 && where[0] == KERNEL -> /* it migrates the page */
			got = 1 - map;
			where[got] = REGION;
			latest[got] = latest[map];
			to_kernel(map);
			map = got
		:: true -> /* it swaps it out */
			latest_in_swap = latest[map];
			to_kernel(map);
			map = IN_SWAP
		fi
	   }
	:: atomic {
		/* Somebody throws it away and tells nobody, at any time. */
		left && map < FRAMES ->
		left--;
		behind = true;
		thrown = true;
		zeros_are_latest = true;
		throw_away()
	   }
	od
}

proctype audit()
{
	do
	:: break
	:: atomic {
		!locked && !fatal && (behind || state == SWAPPED || state == PRESENT) ->
		if
		:: (state == PRESENT || state == SWAPPED) && map == NO ->
			mapped[node] = mapped[node] - (state == PRESENT);
			change(DISCARD, 0);
			assert(ok)
		:: state == PRESENT && map == IN_SWAP -> mapped[node]--; change(SWAP_OUT, 0); assert(ok)
		:: state == SWAPPED && map < FRAMES ->
			mapped[NODE(map)]++;
			change(CORRECT, NODE(map));
			assert(ok)
		:: state == PRESENT && map < FRAMES && NODE(map) != node ->
			mapped[node]--;
			mapped[NODE(map)]++;
			change(CORRECT, NODE(map));
			assert(ok)
		:: state == PRESENT && map < FRAMES && NODE(map) == node ->
			/* books_join() */
			change(CLAIM, node);
			assert(ok);
			change(PUTBACK, 0);
			assert(ok)
		:: else
		fi;
		behind = (OPEN && flight[0] + flight[1] == 0 -> false : behind) /* slots are told apart later: frame_verify() */
	   }
	od
}

#endif

/* ---- A device ---------------------------------------------------------------------------------- */

#ifdef DEVICE

/* It pins the page and writes through the pin: gmig_dma_begin(), the transfer, gmig_dma_end(). */
proctype device()
{
	do
	:: break
	:: atomic {
		!locked && !fatal && (state == PRESENT || state == SWAPPED) ->
#ifndef NOT_BUSY
		busy = true
#endif
	   };
		atomic {
			if
			:: map < FRAMES && !protected -> pinned = map
			:: else -> goto end_transfer
			fi
		};
		atomic { write(pinned); pinned = NO };
end_transfer:
		busy = false
	od
}

#endif

init {
	atomic {
		/* The page is there already, or nobody has touched it. */
		if
		:: state = PRESENT; node = 0; map_zeros(0); mapped[0] = 1
		:: skip
		fi;
#ifndef NO_READER
		run vcpu(0, false);
#endif
		run vcpu(1, true);
		run job(0, 0);
#if JOBS == 2
		run job(1, SECOND);
#endif
#ifdef DISCARDS
		run discard();
#endif
#ifdef OTHERS
		run kernel();
		run audit();
#endif
#ifdef DEVICE
		run device();
#endif
	}
}
