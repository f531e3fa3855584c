/* A host and guests that may contradict themselves: they are refused in words, or there is a plan that holds to its own rules. */
#include "../../placement/placement.h"

#include <stdlib.h>
#include <string.h>

#define NODES  6
#define GUESTS 5
#define RAMS   4
#define TIMES  4

static const uint8_t *at, *end;

static void need(bool holds)
{
	if (!holds)
		abort();
}

static unsigned int byte(void)
{
	return at < end ? *at++ : 0;
}

/* Mostly something that fits, seldom anything. */
static uint64_t bytes_of_memory(uint64_t unit)
{
	unsigned int kind = byte();
	uint64_t value = 0;

	if (kind < 240)
		return (kind % 64) * unit;
	for (int i = 0; i < 8; i++)
		value = value << 8 | byte();
	return value;
}

static struct placement_cpus cpus[NODES], promised[NODES];
static struct placement_node node[NODES];
static uint8_t distance[NODES * NODES];
static struct placement_ram ram[GUESTS][RAMS];
static struct placement_time when[GUESTS][TIMES];
static uint16_t vnode_of[GUESTS][16];
static struct placement_guest guest[GUESTS];
static const char *const names[] = {"a", "b", "c", "a", "\xff\n\x1b[2J"};

static void make_host(struct placement_host *host)
{
	*host = (struct placement_host){
	    .nodes = node, .node_count = byte() % NODES + 1u, .distance = distance};
	for (size_t i = 0; i < host->node_count; i++) {
		unsigned int flags = byte();

		memset(&cpus[i], 0, sizeof(cpus[i]));
		memset(&promised[i], 0, sizeof(promised[i]));
		cpus[i].word[0] = 0xfull << (4 * i);
		promised[i].word[0] =
		    (uint64_t)byte() << (4 * i) & (flags & 4 ? ~0ull : cpus[i].word[0]);
		node[i] = (struct placement_node){
		    .id = flags & 1 ? byte() : (unsigned int)i,
		    .total_bytes = bytes_of_memory(1ull << 30),
		    .free_bytes = {bytes_of_memory(1ull << 28), bytes_of_memory(2ull << 20),
				   bytes_of_memory(1ull << 30)},
		    .reserved_bytes = bytes_of_memory(1ull << 26),
		    .cpus = flags & 2 ? NULL : &cpus[i],
		    .promised = flags & 8 ? &promised[i] : NULL,
		    .busy_milli = byte() * 16u,
		    .closed = (flags & 0x30) == 0x30,
		};
	}
	for (size_t i = 0; i < host->node_count * host->node_count; i++)
		distance[i] = i % (host->node_count + 1) ? (uint8_t)(byte() | 16) : 10;
	if (byte() > 250)
		distance[0] = (uint8_t)byte();
}

static void make_guest(size_t i)
{
	static const uint64_t unit[] = {1 << 20, 2 << 20, 1 << 30, 4096};
	unsigned int flags = byte();

	guest[i] = (struct placement_guest){
	    .name = names[i],
	    .managed = flags & 1,
	    .protect = (flags & 6) == 6,
	    .keep_vcpus = (flags & 24) == 24,
	    .goal = (enum placement_goal)(byte() % 5),
	    .ram = ram[i],
	    .ram_count = byte() % (RAMS + 1u),
	    .vcpus = byte() % 16u,
	    .vnode_of = flags & 32 ? vnode_of[i] : NULL,
	    .time = when[i],
	    .time_count = byte() % (TIMES + 1u),
	    .rate_bytes = byte() * 1000000ull,
	};
	if (flags & 64)
		guest[i].allowed.word[0] = byte();
	for (size_t k = 0; k < RAMS; k++) {
		unsigned int page = byte() % 3u;

		ram[i][k] = (struct placement_ram){
		    .node = (uint16_t)(byte() % NODES),
		    .vnode = flags & 32 ? (uint16_t)(byte() % 3u) : PLACEMENT_NO_VNODE,
		    .page = (enum placement_page)page,
		    .bytes = bytes_of_memory(unit[page]),
		    .locked_bytes = byte() > 200 ? bytes_of_memory(unit[page]) : 0,
		};
	}
	for (size_t k = 0; k < TIMES; k++)
		when[i][k] = (struct placement_time){.vcpu = (uint16_t)(byte() % 16u),
						     .node = (uint16_t)(byte() % NODES),
						     .milli = byte() * 8u};
	for (size_t k = 0; k < 16; k++)
		vnode_of[i][k] = (uint16_t)(byte() % 3u);
}

static const struct placement_node *node_of(const struct placement_host *host, unsigned int id)
{
	for (size_t i = 0; i < host->node_count; i++)
		if (host->nodes[i].id == id)
			return &host->nodes[i];
	return NULL;
}

static void check_score(int score)
{
	need(score >= PLACEMENT_NO_SCORE && score <= 10000);
}

static void check(const struct placement_host *host, size_t count,
		  const struct placement_plan *plan)
{
	static const uint64_t page[] = {4096, 2 << 20, 1 << 30};

	need(plan->guest_count == count);
	check_score(plan->score.now);
	check_score(plan->score.after);
	check_score(plan->score.possible);
	for (size_t i = 0; i < plan->move_count; i++) {
		const struct placement_move *move = &plan->moves[i];
		const struct placement_node *to = node_of(host, move->to);

		need(move->guest < count && guest[move->guest].managed);
		need(to && node_of(host, move->from) && !to->closed);
		need(memchr(move->reason, 0, sizeof(move->reason)) != NULL);
		if (move->kind == PLACEMENT_MEMORY)
			need(move->from != move->to && move->bytes &&
			     move->bytes % page[move->page] == 0);
		else
			need(move->vcpu_count && to->cpus);
	}
	for (size_t i = 0; i < count; i++)
		check_score(plan->guests[i].score.now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct placement_plan *plan = NULL;
	struct placement_options options;
	struct gmig_error err = {0, ""};
	struct placement_host host;
	size_t count;
	int ret;

	at = data;
	end = data + size;
	placement_options_init(&options);
	options.threshold = byte() % 120u;
	options.margin = byte() % 20u;
	options.move_cost = byte();
	options.told = byte() & 1;
	options.drain_only = byte() > 200;
	options.drain.word[0] = byte() > 200 ? byte() : 0;
	make_host(&host);
	count = byte() % (GUESTS + 1u);
	for (size_t i = 0; i < count; i++)
		make_guest(i);
	ret = placement_plan(&host, guest, count, &options, &plan, &err);
	need(ret == err.code);
	need(ret || plan);
	if (!ret)
		check(&host, count, plan);
	placement_plan_destroy(plan);
	return 0;
}
