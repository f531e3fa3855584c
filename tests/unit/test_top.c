/* gmig top: what guests' answers become as rows, and how rows become a page, without a terminal and without guests. */
#include "fake_vmm.h"
#include "host_tree.h"
#include "no_listing.h"

#include "../../cli/top_draw.h"

#define GIB (1ull << 30)

static struct top_model model;

static void setup(void)
{
	static const struct tree_node nodes[] = {{0, 4096, 1024, "0-1", "10 20"},
						 {1, 4096, 3072, "2-3", "20 10"}};

	tree_create();
	tree_nodes("0-1", nodes, 2);
	ck_assert_int_eq(top_model_init(&model, tree_root), 0);
}

static void teardown(void)
{
	top_model_free(&model);
	tree_remove();
}

/* A thread of process 4711 that has run for so many ticks, and last on this CPU. */
static void thread_ran(int tid, unsigned int ticks, unsigned int cpu)
{
	char text[256];

	snprintf(text, sizeof(text),
		 "%d (a) b) S 1 1 1 0 -1 0 0 0 0 0 %u 5 0 0 20 0 1 0 777 "
		 "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 %u 0 0\n",
		 tid, ticks, cpu);
	tree_write(text, "/proc/4711/task/%d/stat", tid);
	tree_write(text, "/proc/4711/stat");
}

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	ck_assert_msg(json != NULL, "no JSON: %s", text);
	return json;
}

#define VCPUS                                                                                      \
	"\"cpus\":{\"placed\":false,\"homes\":[1,0],\"vcpus\":[{\"tid\":11,\"vnode\":0},{"         \
	"\"tid\":12,\"vnode\":1}]}"
#define RESIDENCY                                                                                  \
	"{\"name\":\"web1\",\"state\":\"running\",\"migration\":\"on\",\"fake_nodes\":0,"          \
	"\"page_bytes\":{\"2M\":2147483648,\"4K\":1073741824},\"locked_bytes\":4096,"              \
	"\"vnodes\":[{\"id\":0,\"bytes\":3221225472,\"resident\":{\"0\":1073741824,"               \
	"\"1\":1073741824},\"swapped_bytes\":268435456},{\"id\":1,\"bytes\":1073741824,"           \
	"\"resident\":{\"1\":1073741824},\"swapped_bytes\":0}],\"stall_ns\":{\"p99\":1500000},"    \
	"\"jobs\":[]," VCPUS "}"

static struct top_guest *add(const char *name)
{
	struct top_guest *guest = top_model_add(&model, name, name);

	ck_assert_ptr_nonnull(guest);
	top_guest_renew(&model, guest, 4711);
	return guest;
}

static void take(struct top_guest *guest, const char *text, int seconds)
{
	json_t *json = parse(text);

	top_guest_take(&model, guest, json, 1000000000ll * seconds);
	json_decref(json);
}

/* One job instead of none. */
static void take_job(struct top_guest *guest, const char *job, int seconds)
{
	json_t *json = parse(RESIDENCY);

	json_object_set_new(json, "jobs", json_pack("[o]", parse(job)));
	top_guest_take(&model, guest, json, 1000000000ll * seconds);
	json_decref(json);
}

/* ---- The model ------------------------------------------------------------------------------- */

START_TEST(host_is_read_with_its_nodes_and_cpus)
{
	tree_write("5\n", TREE_NODES "/node1/hugepages/hugepages-2048kB/nr_hugepages");
	tree_write("2\n", TREE_NODES "/node1/hugepages/hugepages-2048kB/free_hugepages");
	ck_assert_int_eq(top_model_refresh(&model), 0);
	ck_assert_uint_eq(model.host.count, 2);
	ck_assert_uint_eq(model.host.nodes[1].id, 1);
	ck_assert_uint_eq(model.host.nodes[0].total_bytes, 4 * GIB);
	ck_assert_uint_eq(model.host.nodes[0].free_bytes, GIB);
	ck_assert_uint_eq(model.host.nodes[1].pool_bytes, 10 << 20);
	ck_assert_uint_eq(model.host.nodes[1].pool_free_bytes, 4 << 20);
	ck_assert_uint_eq(model.host.node_of_cpu[3], 1);
	ck_assert_uint_eq(model.host.node_of_cpu[4], GMIG_NO_NODE);
}
END_TEST

/* The tree has other nodes now, of which a look can see some. */
static int refresh_again(void)
{
	int ret = top_model_refresh(&model);

	ck_assert_uint_eq(model.host.count, 2);
	ck_assert_uint_eq(model.host.nodes[0].free_bytes, GIB);
	ck_assert_uint_eq(model.host.nodes[1].pool_bytes, 10 << 20);
	ck_assert_uint_eq(model.host.node_of_cpu[3], 1);
	ck_assert_uint_eq(model.node_count, 2);
	return ret;
}

static int init_anew(void)
{
	struct top_model other;
	int ret = top_model_init(&other, tree_root);

	top_model_free(&other);
	return ret;
}

static void make_unreadable(const char *path)
{
	char full[256];

	snprintf(full, sizeof(full), "%s%s", tree_root, path);
	unlink(full);
	tree_write("", "%s/is-no-file", path);
}

START_TEST(host_that_cannot_be_read_stays_as_it_was)
{
	static const char *const files[] = {
	    TREE_NODES "/node1/hugepages/hugepages-2048kB/free_hugepages",
	    TREE_NODES "/node1/hugepages/hugepages-2048kB/nr_hugepages",
	    TREE_NODES "/node1/meminfo", TREE_NODES "/node1/cpulist"};
	static const struct tree_node node = {0, 4096, 2048, "0-3", "10 20"};
	int ret;

	tree_write("5\n", "%s", files[1]);
	tree_write("2\n", "%s", files[0]);
	ck_assert_int_eq(top_model_refresh(&model), 0);
	tree_node(&node);
	ret = without_listing(refresh_again);
	ck_assert_msg(!ret || ret == NO_LISTING_SKIP, "%d", ret);
	ret = without_listing(init_anew);
	ck_assert_msg(ret == -EIO || ret == NO_LISTING_SKIP, "%d", ret);
	make_unreadable(files[_i]);
	ck_assert_int_eq(refresh_again(), 0);
	/* Where nothing is known there is nothing to show. */
	ck_assert_int_eq(init_anew(), -EISDIR);
}
END_TEST

START_TEST(memory_is_counted_by_node_and_by_kind)
{
	struct top_guest *guest = add("web1");

	take(guest, RESIDENCY, 1);
	ck_assert(guest->answered);
	ck_assert_uint_eq(guest->bytes, 4 * GIB);
	ck_assert_uint_eq(guest->on[0], GIB);
	ck_assert_uint_eq(guest->on[1], 2 * GIB);
	ck_assert_uint_eq(guest->swapped_bytes, GIB / 4);
	ck_assert_uint_eq(guest->untouched_bytes, GIB * 3 / 4);
	ck_assert_uint_eq(guest->huge_bytes, 2 * GIB);
	ck_assert_uint_eq(guest->small_bytes, GIB);
	ck_assert_uint_eq(guest->locked_bytes, 4096);
	ck_assert_int_eq(guest->stall_p99_ns, 1500000);
}
END_TEST

START_TEST(vcpus_count_where_they_last_ran)
{
	struct top_guest *guest = add("web1");

	thread_ran(11, 100, 0);
	thread_ran(12, 100, 3);
	take(guest, RESIDENCY, 1);
	ck_assert_double_eq(guest->vcpu_percent, TOP_UNKNOWN); /* one look only */
	/* vnode 0 has half of its 2 GiB at its vCPU, vnode 1 all of its own. */
	ck_assert_double_eq_tol(guest->local_percent, 66.67, 0.01);
	ck_assert(gmig_node_set_has(&guest->home, 0) && gmig_node_set_has(&guest->home, 1));
	thread_ran(11, 100 + (unsigned int)sysconf(_SC_CLK_TCK), 0);
	take(guest, RESIDENCY, 3);
	ck_assert_double_eq_tol(guest->vcpu_percent, 50, 0.01);
	thread_ran(11, 50, 0); /* another thread of that number */
	take(guest, RESIDENCY, 4);
	ck_assert_double_eq(guest->vcpu_percent, TOP_UNKNOWN);
}
END_TEST

START_TEST(vcpus_on_fake_nodes_are_at_their_homes)
{
	struct top_guest *guest = add("web1");
	json_t *json = parse(RESIDENCY);

	thread_ran(11, 100, 0);
	thread_ran(12, 100, 0);
	json_object_set_new(json, "fake_nodes", json_integer(2));
	top_guest_take(&model, guest, json, 1);
	json_decref(json);
	/* vnode 0 belongs at node 1, vnode 1 at node 0. */
	ck_assert_double_eq_tol(guest->local_percent, 33.33, 0.01);
	ck_assert_int_eq(top_model_refresh(&model), 0);
	ck_assert_uint_eq(model.fake_nodes, 2);
}
END_TEST

START_TEST(vcpus_unknown_leave_locality_unknown)
{
	struct top_guest *guest = add("web1");

	take(guest, RESIDENCY, 1);
	ck_assert_double_eq(guest->local_percent, TOP_UNKNOWN);
	ck_assert_double_eq(guest->vcpu_percent, TOP_UNKNOWN);
	ck_assert_uint_eq(gmig_node_set_count(&guest->home), 0);
}
END_TEST

START_TEST(job_has_its_percent_and_rate)
{
	struct top_guest *guest = add("web1");

	take_job(guest,
		 "{\"id\":\"3\",\"state\":\"running\",\"total_bytes\":4000000000,"
		 "\"moved_bytes\":1000000000,\"stall_ns\":{\"p99\":7000}}",
		 1);
	ck_assert_str_eq(guest->job.id, "3");
	ck_assert_double_eq(guest->job.bytes_per_second, TOP_UNKNOWN);
	ck_assert_int_eq(guest->stall_p99_ns, 7000);
	take_job(guest,
		 "{\"id\":\"3\",\"state\":\"running\",\"total_bytes\":4000000000,"
		 "\"moved_bytes\":2000000000,\"gone_bytes\":1000000000}",
		 3);
	ck_assert_double_eq_tol(guest->job.bytes_per_second, 5e8, 1);
	ck_assert_double_eq_tol(guest->job.percent, 75, 0.01);
	ck_assert_str_eq(guest->why, "job 3");
	/* Another job begins at nothing: no rate is made of the two. */
	take_job(guest,
		 "{\"id\":\"4\",\"state\":\"paused\",\"total_bytes\":4000000000,"
		 "\"moved_bytes\":3000000000}",
		 4);
	ck_assert_double_eq(guest->job.bytes_per_second, TOP_UNKNOWN);
	ck_assert_str_eq(guest->why, "job 4 paused");
}
END_TEST

START_TEST(why_tells_the_worst_first)
{
	struct top_guest *guest = add("web1");
	json_t *json = parse(RESIDENCY);

	take_job(guest,
		 "{\"id\":\"1\",\"state\":\"completed\",\"remaining\":{\"EBUSY\":1,\"EPERM\":9}}",
		 1);
	ck_assert_msg(!strncmp(guest->why, "stay: ", 6), "%s", guest->why);
	ck_has(guest->why, cli_reason("EPERM"));
	json_object_set_new(json, "migration", json_string("migration is off: no right"));
	top_guest_take(&model, guest, json, 2);
	ck_assert_str_eq(guest->why, "migration is off: no right");
	json_object_set_new(json, "starved_pages", json_integer(1));
	top_guest_take(&model, guest, json, 3);
	ck_assert_str_eq(guest->why, "waits for memory");
	json_decref(json);
	top_guest_silent(guest, "no answer");
	ck_assert(!guest->answered);
	ck_assert_str_eq(guest->why, "no answer");
	ck_assert_ptr_null(guest->residency);
}
END_TEST

/* What gmigd does not do by itself is said where it was to be done, and not of each domain for which nobody has asked it. */
START_TEST(why_tells_of_a_policy_where_there_is_one)
{
	struct top_guest *guest = add("web1");
	json_t *json = parse(RESIDENCY);

	json_object_set_new(
	    json, "placement",
	    parse("{\"policy\":\"none\",\"state\":\"off\",\"reason\":\"placement none\"}"));
	top_guest_take(&model, guest, json, 1);
	ck_assert_str_eq(guest->why, "");
	json_object_set_new(
	    json, "placement",
	    parse("{\"policy\":\"pack\",\"state\":\"waits\",\"reason\":\"no room\"}"));
	top_guest_take(&model, guest, json, 2);
	ck_assert_str_eq(guest->why, "no room");
	json_object_set_new(json, "placement", parse("{\"wrong\":\"no such node\"}"));
	top_guest_take(&model, guest, json, 3);
	ck_assert_str_eq(guest->why, "its placement policy is wrong");
	json_decref(json);
}
END_TEST

/* A guest below 16 GiB is asked for its 16th parts: one of 1 GiB would speak for all of it. */
START_TEST(heat_is_asked_in_parts_as_large_as_a_digit)
{
	struct top_guest *guest = add("web1");

	ck_assert_uint_eq(top_guest_heat_step(guest), GIB); /* it has not answered yet */
	take(guest, RESIDENCY, 1);
	ck_assert_uint_eq(top_guest_heat_step(guest), GIB / 4);
	guest->bytes = 16 * GIB - (2 << 20);
	ck_assert_uint_eq(top_guest_heat_step(guest), GIB);
	guest->bytes = 64 * GIB;
	ck_assert_uint_eq(top_guest_heat_step(guest), GIB);
	guest->bytes = 3ull << 20;
	ck_assert_uint_eq(top_guest_heat_step(guest), 2 << 20);
}
END_TEST

START_TEST(heat_is_sixteen_digits_of_the_whole)
{
	struct top_guest *guest = add("web1");
	json_t *parts = parse("[{\"gpa\":0,\"bytes\":1024,\"hot\":1024,\"warm\":0,\"cold\":0},"
			      "{\"gpa\":9999,\"bytes\":1024,\"hot\":0,\"warm\":1024,\"cold\":0},"
			      "{\"gpa\":99999,\"bytes\":1024,\"hot\":0,\"warm\":0,\"cold\":1024},"
			      "{\"gpa\":999999,\"bytes\":1024,\"hot\":0,\"warm\":0,\"cold\":0}]");

	top_guest_take_heat(guest, parts, NULL);
	ck_assert_str_eq(guest->heat, "999955550000....");
	json_decref(parts);
}
END_TEST

START_TEST(serial_is_of_one_guest_only)
{
	struct top_guest *guest = add("web1");
	uint64_t before = guest->serial;

	thread_ran(11, 100, 0);
	ck_assert_ptr_eq(top_model_find(&model, before), guest);
	top_guest_renew(&model, guest, 4711);
	ck_assert_uint_eq(guest->start_ticks, 777);
	ck_assert_ptr_null(top_model_find(&model, before));
	ck_assert_ptr_eq(top_model_find(&model, guest->serial), guest);
	top_model_remove(&model, guest);
	ck_assert_uint_eq(model.count, 0);
}
END_TEST

START_TEST(sort_puts_the_worst_first_and_the_unknown_last)
{
	struct top_guest *a = add("a"), *b = add("b"), *c = add("c");

	take(a, RESIDENCY, 1);
	take(b, RESIDENCY, 1);
	a->local_percent = 90;
	b->local_percent = 10;
	top_model_sort(&model, TOP_BY_LOCAL);
	ck_assert_ptr_eq(model.guests[0], b);
	ck_assert_ptr_eq(model.guests[1], a);
	ck_assert_ptr_eq(model.guests[2], c);
	top_model_sort(&model, TOP_BY_NAME);
	ck_assert_ptr_eq(model.guests[0], a);
}
END_TEST

START_TEST(json_has_null_for_what_nobody_told)
{
	json_t *all, *guest;

	take(add("web1"), RESIDENCY, 1);
	top_guest_silent(add("web2"), "no answer");
	all = top_model_json(&model, 12.5);
	ck_assert_double_eq(json_real_value(json_object_get(all, "time")), 12.5);
	ck_assert_uint_eq(json_array_size(json_object_get(all, "nodes")), 2);
	guest = json_array_get(json_object_get(all, "guests"), 0);
	ck_assert_uint_eq(cli_number(json_object_get(guest, "resident"), "1"), 2 * GIB);
	ck_assert(json_is_null(json_object_get(guest, "vcpu_percent")));
	ck_assert(json_is_null(json_object_get(guest, "job")));
	ck_assert_uint_eq(cli_number(guest, "locked_bytes"), 4096);
	guest = json_array_get(json_object_get(all, "guests"), 1);
	ck_assert_str_eq(cli_text(guest, "state"), "no answer");
	ck_assert_ptr_null(json_object_get(guest, "bytes"));
	json_decref(all);
}
END_TEST

/* ---- The page -------------------------------------------------------------------------------- */

static char drawn[65536];

/* The page as text, as `gmig top --once` prints it. */
static const char *draw(struct top_view *view, int width, int height)
{
	struct top_page page;
	FILE *out;
	int rows;

	memset(drawn, 0, sizeof(drawn));
	ck_assert_int_eq(top_model_refresh(&model), 0);
	ck_assert_int_eq(top_page_init(&page, width, height), 0);
	rows = top_draw_main(&model, view, &page);
	ck_assert_int_le(rows, height);
	out = fmemopen(drawn, sizeof(drawn) - 1, "w");
	top_page_write(&page, rows, out);
	fclose(out);
	top_page_free(&page);
	return drawn;
}

static void three_guests(void)
{
	struct top_guest *guest;

	thread_ran(11, 100, 0);
	thread_ran(12, 100, 3);
	guest = add("web1");
	take(guest, RESIDENCY, 1);
	guest->vcpu_percent = 150;
	guest->score_now = 61.5;
	guest->score_possible = 100;
	memcpy(guest->heat, "9995555500000...", TOP_HEAT);
	guest = add("db");
	take_job(guest,
		 "{\"id\":\"3\",\"state\":\"running\",\"total_bytes\":4000000000,"
		 "\"moved_bytes\":1000000000,\"reason\":\"score 40 > 90\"}",
		 1);
	guest->job.bytes_per_second = 5.12e6;
	top_guest_silent(add("gone\x1b[2J"), "no answer");
}

START_TEST(page_is_a_table_of_all_columns)
{
	struct top_view view = {0};

	three_guests();
	ck_assert_str_eq(
	    draw(&view, 108, 24),
	    "gmig top: 3 guests, 1 without an answer, 1 with a job, by name\n"
	    "node 0   [######################################............] used  3.00 free  1.00 "
	    "huge     0\n"
	    "node 1   [#############.....................................] used  1.00 free  3.00 "
	    "huge     0\n"
	    "NAME     HOME VCPU%   MEM LOC%   SCORE   N0    N1  HEAT              MB/s STALL JOB% "
	    "WHY\n"
	    "web1     0-1    150  4.00   67  62>100 1.00* 2.00* 9995555500000...     - 1.5ms    -\n"
	    "db       0-1      -  4.00   67       - 1.00* 2.00* ................   5.1 1.5ms   25 "
	    "score 40 > 90\n"
	    "gone?[2J -        -     -    -       -    -     -  -                    -     -    - "
	    "no answer\n");
}
END_TEST

START_TEST(page_of_80_columns_keeps_every_column_that_fits)
{
	struct top_view view = {.last_line = "q: quit"};

	three_guests();
	draw(&view, 80, 24);
	for (char *line = strtok(drawn, "\n"); line; line = strtok(NULL, "\n"))
		ck_assert_uint_le(strlen(line), 80);
	draw(&view, 80, 24);
	ck_has(drawn, "HEAT      MB/s STALL JOB% WHY\n");
	ck_has(drawn, "9955000.     - 1.5ms    -\n");
}
END_TEST

/* Alike, with CPUs on the first one. */
static void small_nodes(struct tree_node *nodes, unsigned int count, const char *list)
{
	for (unsigned int i = 0; i < count; i++)
		nodes[i] = (struct tree_node){i, 1024, 512, i ? "" : "0-3", "10"};
	tree_nodes(list, nodes, count);
}

/* What a node has of hugetlb pages makes its words longer, and the bars of all nodes shorter: they are compared by eye. */
START_TEST(bars_of_all_nodes_are_of_one_scale)
{
	struct top_view view = {0};

	tree_write("5\n", TREE_NODES "/node1/hugepages/hugepages-2048kB/nr_hugepages");
	three_guests();
	draw(&view, 80, 24);
	ck_has(
	    drawn,
	    "node 0   [##############.....] used  3.00 free  1.00 huge     0\n"
	    "node 1   [#####..............] used  1.00 free  3.00 huge     0 pool  0.01/ 0.01\n");
}
END_TEST

/* Four nodes, which more hosts have than any other number but one and two: the job's columns are all there. */
START_TEST(page_of_80_columns_has_stalls_beside_four_nodes)
{
	struct tree_node nodes[4];
	struct top_view view = {0};

	small_nodes(nodes, 4, "0-3");
	take(add("web1"), RESIDENCY, 1);
	draw(&view, 80, 24);
	ck_has(drawn, "NAME HOME VCPU%   MEM LOC%   N0    N1    N2    N3   MB/s STALL JOB% WHY\n");
	for (unsigned int i = 0; i < 4; i++)
		nodes[i].mib = 4000u << 10;
	tree_nodes("0-3", nodes, 4);
	draw(&view, 100, 24);
	ck_has(drawn, "    N0     N1     N2     N3 "); /* room for 16000 */
}
END_TEST

/* Whatever the terminal's size is, nothing is written outside of the page; ASan sees to it. */
START_TEST(page_of_any_size_is_drawn)
{
	struct top_view view = {.last_line = "q: quit"};

	three_guests();
	view.chosen = model.guests[2]->serial;
	for (int width = 1; width < 130; width += 3)
		for (int height = 1; height < 12; height++) {
			struct top_page page;

			ck_assert_int_eq(top_page_init(&page, width, height), 0);
			top_draw_main(&model, &view, &page);
			top_page_free(&page);
		}
	draw(&view, 40, 7);
	ck_has(drawn, "gone?[2J"); /* scrolled to */
	ck_assert_ptr_null(strstr(drawn, "web1"));
}
END_TEST

START_TEST(page_scrolls_over_many_nodes)
{
	struct tree_node nodes[12];
	struct top_view view = {0};

	small_nodes(nodes, 12, "0-11");
	three_guests();
	draw(&view, 80, 24);
	ck_has(drawn, "nodes 1 to 4 of 12");
	ck_has(drawn, "5 more nodes\n");
	view.first_node = 99;
	draw(&view, 80, 24);
	ck_has(drawn, "nodes 9 to 12 of 12");
	ck_has(drawn, "N11");
}
END_TEST

/* Its first digits alone would be another number. */
START_TEST(number_that_does_not_fit_is_none)
{
	struct top_view view = {0};
	json_t *json = parse(RESIDENCY);

	json_object_set_new(json_array_get(json_object_get(json, "vnodes"), 0), "resident",
			    json_pack("{s:I, s:i}", "0", (json_int_t)INT64_MAX, "1", 0));
	json_object_set_new(json_array_get(json_object_get(json, "vnodes"), 1), "resident",
			    json_pack("{s:I, s:I}", "0", (json_int_t)GIB, "1", (json_int_t)GIB));
	json_object_set_new(json, "stall_ns", json_pack("{s:I}", "p99", (json_int_t)INT64_MAX));
	top_guest_take(&model, add("web1"), json, 1);
	json_decref(json);
	json = top_model_json(&model, 0);
	ck_assert(json_is_null(json_object_get(
	    json_object_get(json_array_get(json_object_get(json, "guests"), 0), "resident"), "0")));
	json_decref(json);
	draw(&view, 100, 24);
	ck_has(drawn, " ##### 1.00 ");
	ck_has(drawn, " ##### ");
	ck_assert_ptr_null(strstr(drawn, "858993"));
	ck_assert_ptr_null(strstr(drawn, "92233"));
	ck_assert_uint_eq(top_share(NULL, 0, UINT64_MAX, 1), TOP_PLAIN | TOP_MUCH);
}
END_TEST

/* On a terminal too narrow for nodes their titles are not there, either. */
START_TEST(page_without_room_for_nodes_has_no_word_of_them)
{
	struct top_view view = {0};

	three_guests();
	draw(&view, 24, 24);
	ck_has(drawn, "NAME     HOME   MEM\n");
	draw(&view, 60, 24);
	ck_has(drawn, "   N0 ");
}
END_TEST

START_TEST(page_marks_the_chosen_guest_and_shades_by_share)
{
	struct top_view view = {0};
	struct gmig_node_set home;
	struct top_page page;

	three_guests();
	view.chosen = model.guests[1]->serial;
	ck_assert_int_eq(top_page_init(&page, 100, 24), 0);
	top_draw_main(&model, &view, &page);
	ck_assert(page.cells[5 * 100].look & TOP_CHOSEN);
	ck_assert(!(page.cells[4 * 100].look & TOP_CHOSEN));
	top_page_free(&page);
	home = model.guests[1]->home;
	ck_assert_uint_eq(gmig_node_set_count(&home), 2);
	ck_assert_uint_eq(top_share(&home, 0, 0, 8), TOP_DIM);
	ck_assert_uint_eq(top_share(&home, 0, 3, 8), TOP_NEAR);
	ck_assert_uint_eq(top_share(&home, 0, 4, 8), TOP_NEAR | TOP_MUCH);
	ck_assert_uint_eq(top_share(&home, 5, 8, 8), TOP_FAR | TOP_MUCH);
	/* Nobody knows where its vCPUs are: then its memory is nowhere near, and nowhere far. */
	home = (struct gmig_node_set){{0}};
	ck_assert_uint_eq(top_share(&home, 0, 3, 8), TOP_PLAIN);
	ck_assert_uint_eq(top_share(NULL, 0, 8, 8), TOP_PLAIN | TOP_MUCH);
	ck_assert_uint_eq(top_heat_look('.'), TOP_DIM);
	ck_assert_uint_eq(top_heat_look('0'), TOP_SHADE);
	ck_assert_uint_eq(top_heat_look('9'), TOP_SHADE + TOP_SHADES - 1);
}
END_TEST

START_TEST(numbers_are_short)
{
	char text[TOP_SHORT];

	ck_assert_str_eq(top_gib(0, text), "0");
	ck_assert_str_eq(top_gib(64 << 20, text), "0.06");
	ck_assert_str_eq(top_gib(99 * GIB + GIB / 2, text), "99.5");
	ck_assert_str_eq(top_gib(12288 * GIB, text), "12288");
	ck_assert_str_eq(top_gib(99999 * GIB, text), "99999");
	ck_assert_str_eq(top_gib(100000 * GIB, text), "98T");
	ck_assert_str_eq(top_gib(1ull << 62, text), "4194304T");
	ck_assert_str_eq(top_short_ns(-1, text), "-");
	ck_assert_str_eq(top_short_ns(0, text), "0");
	ck_assert_str_eq(top_short_ns(950, text), "950ns");
	ck_assert_str_eq(top_short_ns(9940, text), "9.9us");
	ck_assert_str_eq(top_short_ns(999600, text), "1.0ms");
	ck_assert_str_eq(top_short_ns(INT64_MAX, text), "9223372037s");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("top");
	TCase *rows = tcase_create("model"), *page = tcase_create("page");

	tcase_add_checked_fixture(rows, setup, teardown);
	tcase_add_test(rows, host_is_read_with_its_nodes_and_cpus);
	tcase_add_loop_test(rows, host_that_cannot_be_read_stays_as_it_was, 0, 4);
	tcase_add_test(rows, memory_is_counted_by_node_and_by_kind);
	tcase_add_test(rows, vcpus_count_where_they_last_ran);
	tcase_add_test(rows, vcpus_on_fake_nodes_are_at_their_homes);
	tcase_add_test(rows, vcpus_unknown_leave_locality_unknown);
	tcase_add_test(rows, job_has_its_percent_and_rate);
	tcase_add_test(rows, why_tells_the_worst_first);
	tcase_add_test(rows, why_tells_of_a_policy_where_there_is_one);
	tcase_add_test(rows, heat_is_asked_in_parts_as_large_as_a_digit);
	tcase_add_test(rows, heat_is_sixteen_digits_of_the_whole);
	tcase_add_test(rows, serial_is_of_one_guest_only);
	tcase_add_test(rows, sort_puts_the_worst_first_and_the_unknown_last);
	tcase_add_test(rows, json_has_null_for_what_nobody_told);
	suite_add_tcase(suite, rows);
	tcase_add_checked_fixture(page, setup, teardown);
	tcase_add_test(page, page_is_a_table_of_all_columns);
	tcase_add_test(page, page_of_80_columns_keeps_every_column_that_fits);
	tcase_add_test(page, bars_of_all_nodes_are_of_one_scale);
	tcase_add_test(page, page_of_80_columns_has_stalls_beside_four_nodes);
	tcase_add_test(page, page_of_any_size_is_drawn);
	tcase_add_test(page, page_scrolls_over_many_nodes);
	tcase_add_test(page, number_that_does_not_fit_is_none);
	tcase_add_test(page, page_without_room_for_nodes_has_no_word_of_them);
	tcase_add_test(page, page_marks_the_chosen_guest_and_shades_by_share);
	tcase_add_test(page, numbers_are_short);
	suite_add_tcase(suite, page);
	return run_suite(suite);
}
