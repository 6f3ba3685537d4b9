// SPDX-License-Identifier: Apache-2.0
/* Host leaves on a secure EPT entry in each of its states, before and after TDH.MR.FINALIZE (TDX ABI, secure EPT). */
#include "host.h"

#define GPA 0x40000000ull

#define WRONG_STATE	 (TDX_EPT_ENTRY_STATE_INCORRECT | TDX_OP_RCX)
#define NOT_BLOCKED	 (TDX_GPA_RANGE_NOT_BLOCKED | TDX_OP_RCX)
#define ALREADY		 (TDX_GPA_RANGE_ALREADY_BLOCKED | TDX_OP_RCX)
#define NOT_TRACKED	 (TDX_TLB_TRACKING_NOT_DONE | TDX_OP_RCX)
#define NOT_TRACKED_TREE (TDX_TLB_TRACKING_NOT_DONE | TDX_OP_SEPT_TREE)
#define WRONG_OP_STATE	 TDX_OP_STATE_INCORRECT
#define ABSENT		 TDX_EPT_ENTRY_NOT_PRESENT
#define LEVEL		 (TDX_OPERAND_INVALID | TDX_OP_RCX)
#define NO_PROMOTE	 (TDX_EPT_INVALID_PROMOTE_CONDITIONS | TDX_OP_RCX)

enum state { FREE, BLOCKED, PENDING, PENDING_BLOCKED, MAPPED, NL_MAPPED, NL_BLOCKED, STATES };
static const u8 public_state[] = {TDX_SEPT_FREE,   TDX_SEPT_BLOCKED,   TDX_SEPT_PENDING,   TDX_SEPT_PENDING_BLOCKED,
				  TDX_SEPT_MAPPED, TDX_SEPT_NL_MAPPED, TDX_SEPT_NL_BLOCKED};

struct cell {
	u64 status;
	enum state after; /* of a success */
};
struct row {
	u64 leaf;
	struct cell cell[STATES];
};

/* In every table: the columns of enum state. -: the state does not exist at this level, or not in this phase. */
#define OK(state)                                                                                                      \
	{                                                                                                              \
		0, state                                                                                               \
	}
#define NO(status)                                                                                                     \
	{                                                                                                              \
		status, 0                                                                                              \
	}
#define NA                                                                                                             \
	{                                                                                                              \
		~0ull, 0                                                                                               \
	}

static const struct row level0_init[] = {
	{TDH_MEM_SEPT_ADD, {NO(LEVEL), NO(LEVEL), NO(LEVEL), NO(LEVEL), NO(LEVEL), NA, NA}},
	{TDH_MEM_PAGE_ADD, {OK(MAPPED), NO(WRONG_STATE), NO(WRONG_STATE), NO(WRONG_STATE), NO(WRONG_STATE), NA, NA}},
	{TDH_MEM_PAGE_AUG, {OK(PENDING), NO(WRONG_STATE), NO(WRONG_STATE), NO(WRONG_STATE), NO(WRONG_STATE), NA, NA}},
	{TDH_MEM_RANGE_BLOCK, {NO(WRONG_STATE), NO(ALREADY), OK(PENDING_BLOCKED), NO(ALREADY), OK(BLOCKED), NA, NA}},
	{TDH_MEM_RANGE_UNBLOCK, {NO(WRONG_STATE), OK(MAPPED), NO(WRONG_STATE), OK(PENDING), NO(WRONG_STATE), NA, NA}},
	{TDH_MEM_PAGE_REMOVE, {NO(WRONG_STATE), OK(FREE), OK(FREE), OK(FREE), OK(FREE), NA, NA}},
	{TDH_MEM_PAGE_DEMOTE, {NO(LEVEL), NO(LEVEL), NO(LEVEL), NO(LEVEL), NO(LEVEL), NA, NA}},
	{TDH_MEM_PAGE_PROMOTE, {NO(LEVEL), NO(LEVEL), NO(LEVEL), NO(LEVEL), NO(LEVEL), NA, NA}},
	{TDH_MEM_SEPT_REMOVE, {NO(LEVEL), NO(LEVEL), NO(LEVEL), NO(LEVEL), NO(LEVEL), NA, NA}},
	{TDH_MR_EXTEND, {NO(ABSENT), NO(ABSENT), NO(ABSENT), NO(ABSENT), OK(MAPPED), NA, NA}},
};

static const struct row level0_run[] = {
	{TDH_MEM_PAGE_ADD,
	 {NO(WRONG_OP_STATE), NO(WRONG_OP_STATE), NO(WRONG_OP_STATE), NO(WRONG_OP_STATE), NO(WRONG_OP_STATE), NA, NA}},
	{TDH_MEM_PAGE_AUG, {OK(PENDING), NO(WRONG_STATE), NO(WRONG_STATE), NO(WRONG_STATE), NO(WRONG_STATE), NA, NA}},
	{TDH_MEM_RANGE_BLOCK, {NO(WRONG_STATE), NO(ALREADY), OK(PENDING_BLOCKED), NO(ALREADY), OK(BLOCKED), NA, NA}},
	{TDH_MEM_RANGE_UNBLOCK,
	 {NO(WRONG_STATE), NO(NOT_TRACKED_TREE), NO(WRONG_STATE), NO(NOT_TRACKED_TREE), NO(WRONG_STATE), NA, NA}},
	{TDH_MEM_PAGE_REMOVE,
	 {NO(WRONG_STATE), NO(NOT_TRACKED), NO(NOT_BLOCKED), NO(NOT_TRACKED), NO(NOT_BLOCKED), NA, NA}},
	{TDH_MR_EXTEND,
	 {NO(WRONG_OP_STATE), NO(WRONG_OP_STATE), NO(WRONG_OP_STATE), NO(WRONG_OP_STATE), NO(WRONG_OP_STATE), NA, NA}},
};

/* After TDH.MEM.TRACK. */
static const struct row level0_tracked[] = {
	{TDH_MEM_RANGE_UNBLOCK, {NO(WRONG_STATE), OK(MAPPED), NO(WRONG_STATE), OK(PENDING), NO(WRONG_STATE), NA, NA}},
	{TDH_MEM_PAGE_REMOVE, {NO(WRONG_STATE), OK(FREE), NO(NOT_BLOCKED), OK(FREE), NO(NOT_BLOCKED), NA, NA}},
};

static const struct row level1_init[] = {
	{TDH_MEM_SEPT_ADD, {OK(NL_MAPPED), NA, NO(WRONG_STATE), NO(WRONG_STATE), NA, NO(WRONG_STATE), NO(WRONG_STATE)}},
	{TDH_MEM_PAGE_ADD, {NO(LEVEL), NA, NO(LEVEL), NO(LEVEL), NA, NO(LEVEL), NO(LEVEL)}},
	{TDH_MEM_PAGE_AUG, {OK(PENDING), NA, NO(WRONG_STATE), NO(WRONG_STATE), NA, NO(WRONG_STATE), NO(WRONG_STATE)}},
	{TDH_MEM_RANGE_BLOCK, {NO(WRONG_STATE), NA, OK(PENDING_BLOCKED), NO(ALREADY), NA, OK(NL_BLOCKED), NO(ALREADY)}},
	{TDH_MEM_RANGE_UNBLOCK,
	 {NO(WRONG_STATE), NA, NO(WRONG_STATE), OK(PENDING), NA, NO(WRONG_STATE), OK(NL_MAPPED)}},
	{TDH_MEM_PAGE_REMOVE, {NO(WRONG_STATE), NA, OK(FREE), OK(FREE), NA, NO(WRONG_STATE), NO(WRONG_STATE)}},
	{TDH_MEM_PAGE_DEMOTE,
	 {NO(WRONG_STATE), NA, OK(NL_MAPPED), OK(NL_MAPPED), NA, NO(WRONG_STATE), NO(WRONG_STATE)}},
	{TDH_MEM_PAGE_PROMOTE,
	 {NO(WRONG_STATE), NA, NO(WRONG_STATE), NO(WRONG_STATE), NA, NO(NO_PROMOTE), NO(NO_PROMOTE)}},
	{TDH_MEM_SEPT_REMOVE, {NO(WRONG_STATE), NA, NO(WRONG_STATE), NO(WRONG_STATE), NA, OK(FREE), OK(FREE)}},
};

static const struct row level1_run[] = {
	{TDH_MEM_RANGE_UNBLOCK,
	 {NO(WRONG_STATE), NA, NO(WRONG_STATE), NO(NOT_TRACKED_TREE), NA, NO(WRONG_STATE), NO(NOT_TRACKED_TREE)}},
	{TDH_MEM_PAGE_REMOVE,
	 {NO(WRONG_STATE), NA, NO(NOT_BLOCKED), NO(NOT_TRACKED), NA, NO(WRONG_STATE), NO(WRONG_STATE)}},
	{TDH_MEM_PAGE_DEMOTE,
	 {NO(WRONG_STATE), NA, NO(NOT_BLOCKED), NO(NOT_TRACKED), NA, NO(WRONG_STATE), NO(WRONG_STATE)}},
	{TDH_MEM_PAGE_PROMOTE,
	 {NO(WRONG_STATE), NA, NO(WRONG_STATE), NO(WRONG_STATE), NA, NO(NOT_BLOCKED), NO(NOT_TRACKED)}},
	{TDH_MEM_SEPT_REMOVE,
	 {NO(WRONG_STATE), NA, NO(WRONG_STATE), NO(WRONG_STATE), NA, NO(NOT_BLOCKED), NO(NOT_TRACKED)}},
};

static const struct row level1_tracked[] = {
	{TDH_MEM_RANGE_UNBLOCK,
	 {NO(WRONG_STATE), NA, NO(WRONG_STATE), OK(PENDING), NA, NO(WRONG_STATE), OK(NL_MAPPED)}},
	{TDH_MEM_PAGE_REMOVE, {NO(WRONG_STATE), NA, NO(NOT_BLOCKED), OK(FREE), NA, NO(WRONG_STATE), NO(WRONG_STATE)}},
	{TDH_MEM_PAGE_DEMOTE,
	 {NO(WRONG_STATE), NA, NO(NOT_BLOCKED), OK(NL_MAPPED), NA, NO(WRONG_STATE), NO(WRONG_STATE)}},
	{TDH_MEM_PAGE_PROMOTE,
	 {NO(WRONG_STATE), NA, NO(WRONG_STATE), NO(WRONG_STATE), NA, NO(NOT_BLOCKED), NO(NO_PROMOTE)}},
	{TDH_MEM_SEPT_REMOVE, {NO(WRONG_STATE), NA, NO(WRONG_STATE), NO(WRONG_STATE), NA, NO(NOT_BLOCKED), OK(FREE)}},
};

/* ---------------------------------------------------------------- one cell */

/* Each cell has an entry of its own. */
static u64 next_gpa(unsigned int level)
{
	static u64 n;

	return GPA + (n++ << (12 + 9 * level));
}

static void make_state(struct host *h, u64 gpa_, unsigned int level, enum state state)
{
	host_tables(h, gpa_, level);
	switch (state) {
	case FREE:
		return;
	case MAPPED:
	case BLOCKED:
		call_ok(h, TDH_MEM_PAGE_ADD, gpa_, h->tdr, host_page(h), host_page(h));
		break;
	case NL_MAPPED:
	case NL_BLOCKED:
		call_ok(h, TDH_MEM_SEPT_ADD, gpa_ | level, h->tdr, host_page(h));
		break;
	default:
		call_ok(h, TDH_MEM_PAGE_AUG, gpa_ | level, h->tdr, host_pages(h, level ? 512 : 1));
	}
	if (state == BLOCKED || state == PENDING_BLOCKED || state == NL_BLOCKED)
		call_ok(h, TDH_MEM_RANGE_BLOCK, gpa_ | level, h->tdr);
}

static unsigned int state_of(struct host *h, u64 gpa_, unsigned int level)
{
	struct tdx_regs out;

	assert_int_equal(host_call(h, TDH_MEM_SEPT_RD, ARGS(gpa_ | level, h->tdr), &out), TDX_SUCCESS);
	assert_int_equal(tdx_sept_level(out.rdx), level);
	return tdx_sept_state(out.rdx);
}

static u64 apply(struct host *h, u64 leaf, u64 gpa_, unsigned int level)
{
	u64 r8 = leaf == TDH_MEM_PAGE_AUG && level ? host_pages(h, 512) : host_page(h);
	u64 rcx = leaf == TDH_MR_EXTEND ? gpa_ + 0x300 : gpa_ | level;

	return call(h, leaf, rcx, h->tdr, r8, host_page(h));
}

static void check_cell(struct host *h, const struct row *row, enum state state, unsigned int level, u64 gpa_)
{
	const struct cell *c = &row->cell[state];
	u64 status = apply(h, row->leaf, gpa_, level);

	if (status != c->status)
		print_error("leaf %u in state %u at level %u: %#lx, expected %#lx\n", (unsigned int)row->leaf, state,
			    level, (unsigned long)status, (unsigned long)c->status);
	assert_true(status == c->status);
	assert_int_equal(state_of(h, gpa_, level), public_state[status ? state : c->after]);
}

static struct host *open_td(void)
{
	struct host *h = host_open();

	host_init_td(h);
	host_add_vcpu(h, 0);
	return h;
}

enum phase { INIT, RUN, TRACKED };

/* MAPPED is possible before TDH.MR.FINALIZE only, so every state is made then. */
static void check_table(const struct row *rows, size_t count, unsigned int level, enum phase phase)
{
	for (size_t n = 0; n < count; n++) {
		for (enum state state = 0; state < STATES; state++) {
			struct host *h;
			u64 gpa_ = next_gpa(level);

			if (rows[n].cell[state].status == ~0ull)
				continue;
			h = open_td();
			make_state(h, gpa_, level, state);
			if (phase != INIT)
				call_ok(h, TDH_MR_FINALIZE, h->tdr);
			if (phase == TRACKED)
				call_ok(h, TDH_MEM_TRACK, h->tdr);
			check_cell(h, &rows[n], state, level, gpa_);
			host_close(h);
		}
	}
}
#define CHECK(rows, level, phase) check_table(rows, sizeof(rows) / sizeof((rows)[0]), level, phase)

static void level0(void **state)
{
	CHECK(level0_init, 0, INIT);
	CHECK(level0_run, 0, RUN);
	CHECK(level0_tracked, 0, TRACKED);
}

static void level1(void **state)
{
	CHECK(level1_init, 1, INIT);
	CHECK(level1_run, 1, RUN);
	CHECK(level1_tracked, 1, TRACKED);
}

/* ---------------------------------------------------------------- walks and operands */

static void walk_details(void **state)
{
	struct host *h = open_td();
	struct tdx_regs out;

	assert_int_equal(host_call(h, TDH_MEM_PAGE_AUG, ARGS(GPA, h->tdr, host_page(h)), &out),
			 TDX_EPT_WALK_FAILED | TDX_OP_RCX);
	assert_int_equal(tdx_sept_level(out.rdx), 3);
	assert_int_equal(tdx_sept_state(out.rdx), TDX_SEPT_FREE);
	assert_int_equal(call(h, TDH_MEM_SEPT_ADD, GPA | 1, h->tdr, host_page(h)), TDX_EPT_WALK_FAILED | TDX_OP_RCX);
	host_aug(h, GPA, 1);
	/* below a leaf */
	assert_int_equal(host_call(h, TDH_MEM_PAGE_REMOVE, ARGS(GPA + 0x1000, h->tdr), &out),
			 TDX_EPT_WALK_FAILED | TDX_OP_RCX);
	assert_int_equal(tdx_sept_level(out.rdx), 1);
	assert_int_equal(tdx_sept_state(out.rdx), TDX_SEPT_PENDING);
	assert_int_equal(call(h, TDH_MR_EXTEND, GPA, h->tdr), TDX_EPT_ENTRY_NOT_PRESENT | TDX_OP_RCX);
	/* below a blocked table */
	host_aug(h, GPA + (2ull << 20), 0);
	call_ok(h, TDH_MEM_RANGE_BLOCK, (GPA + (2ull << 20)) | 1, h->tdr);
	assert_int_equal(host_call(h, TDH_MEM_PAGE_REMOVE, ARGS(GPA + (2ull << 20), h->tdr), &out),
			 TDX_EPT_WALK_FAILED | TDX_OP_RCX);
	assert_int_equal(tdx_sept_state(out.rdx), TDX_SEPT_NL_BLOCKED);
	host_close(h);
}

static void operands(void **state)
{
	struct host *h = open_td();
	const u64 bad[] = {GPA | 8,	     GPA | 0x800,     GPA | 4, GPA | 7, (GPA + 0x1000) | 1, GPA | h->shared_bit,
			   GPA | 1ull << 48, GPA | 1ull << 52};
	u64 page = host_page(h);

	for (size_t n = 0; n < sizeof(bad) / sizeof(bad[0]); n++)
		assert_int_equal(call(h, TDH_MEM_RANGE_BLOCK, bad[n], h->tdr), LEVEL);
	host_tables(h, GPA, 0);
	assert_int_equal(call(h, TDH_MEM_PAGE_AUG, GPA, h->tdr, page + 8), TDX_OPERAND_INVALID | TDX_OP_R8);
	assert_int_equal(call(h, TDH_MEM_PAGE_AUG, GPA, h->tdr, 0), TDX_OPERAND_INVALID | TDX_OP_R8);
	assert_int_equal(call(h, TDH_MEM_PAGE_AUG, GPA, h->tdr, 1ull << 52), TDX_OPERAND_INVALID | TDX_OP_R8);
	assert_int_equal(call(h, TDH_MEM_PAGE_ADD, GPA, h->tdr, page, page + 1), TDX_OPERAND_INVALID | TDX_OP_R9);
	/* pages of a TD are no source, and no page for another purpose */
	assert_int_equal(call(h, TDH_MEM_PAGE_ADD, GPA, h->tdr, page, h->tdr), TDX_OPERAND_INVALID | TDX_OP_R9);
	assert_int_equal(call(h, TDH_MEM_PAGE_ADD, GPA, h->tdr, h->tdr, host_page(h)),
			 TDX_PAGE_METADATA_INCORRECT | TDX_OP_R8);
	assert_int_equal(call(h, TDH_MEM_PAGE_AUG, GPA, page, page), TDX_PAGE_METADATA_INCORRECT | TDX_OP_RDX);
	assert_int_equal(call(h, TDH_MEM_PAGE_AUG, GPA, h->tdvpr[0], page), TDX_PAGE_METADATA_INCORRECT | TDX_OP_RDX);
	assert_int_equal(call(h, TDH_MEM_PAGE_AUG, GPA, h->tdr + 1, page), TDX_OPERAND_INVALID | TDX_OP_RDX);
	call_ok(h, TDH_MEM_PAGE_ADD, GPA, h->tdr, page, host_page(h));
	assert_int_equal(call(h, TDH_MR_EXTEND, GPA + 0x80, h->tdr), LEVEL);
	/* a source that is not memory */
	host_tables(h, GPA + 0x1000, 0);
	assert_int_equal(call(h, TDH_MEM_PAGE_ADD, GPA + 0x1000, h->tdr, host_page(h), 0x1000),
			 TDX_OPERAND_INVALID | TDX_OP_R9);
	host_close(h);
}

/* 512 pages of 4K become one of 2M and fall apart again, with their contents. */
static void promote_and_demote(void **state)
{
	struct host *h = open_td();
	u64 pages = host_pages(h, 512);
	struct tdx_regs out;

	host_tables(h, GPA, 0);
	for (u64 n = 0; n < 512; n++) {
		u64 source = host_page(h);

		*(u64 *)(uintptr_t)source = n;
		call_ok(h, TDH_MEM_PAGE_ADD, GPA + n * HW_PAGE_SIZE, h->tdr, pages + n * HW_PAGE_SIZE, source);
	}
	assert_int_equal(call(h, TDH_MEM_SEPT_REMOVE, GPA | 1, h->tdr), TDX_EPT_PAGE_NOT_FREE | TDX_OP_RCX);
	assert_int_equal(host_call(h, TDH_MEM_PAGE_PROMOTE, ARGS(GPA | 1, h->tdr), &out), TDX_SUCCESS);
	assert_int_equal(state_of(h, GPA, 1), TDX_SEPT_MAPPED);
	assert_int_equal(call(h, TDH_PHYMEM_PAGE_RDMD, out.rcx), TDX_SUCCESS);
	assert_int_equal(host_call(h, TDH_PHYMEM_PAGE_RDMD, ARGS(pages + 0x5000), &out), TDX_SUCCESS);
	assert_int_equal(out.rcx, TDX_PAGE_REGULAR);
	assert_int_equal(out.rdx, h->tdr);
	assert_int_equal(out.r8, 1);
	call_ok(h, TDH_MEM_PAGE_DEMOTE, GPA | 1, h->tdr, host_page(h));
	assert_int_equal(state_of(h, GPA, 1), TDX_SEPT_NL_MAPPED);
	assert_int_equal(state_of(h, GPA + 0x1ff000, 0), TDX_SEPT_MAPPED);
	assert_int_equal(*(u64 *)(uintptr_t)(pages + 0x1ff000), 511);
	assert_int_equal(host_call(h, TDH_MEM_PAGE_REMOVE, ARGS(GPA + 0x1ff000, h->tdr), &out), TDX_SUCCESS);
	assert_int_equal(out.rcx, pages + 0x1ff000);
	assert_int_equal(call(h, TDH_MEM_PAGE_PROMOTE, GPA | 1, h->tdr), NO_PROMOTE);
	assert_int_equal(host_call(h, TDH_PHYMEM_PAGE_RDMD, ARGS(pages + 0x1ff000), &out), TDX_SUCCESS);
	assert_int_equal(out.rcx, TDX_PAGE_FREE);
	host_close(h);
}

/* TLB tracking: an epoch ends only when the one before is empty. */
static void tracking(void **state)
{
	struct host *h = host_boot(host_open());

	/* the vCPU waits outside: nobody is in any epoch */
	call_ok(h, TDH_MEM_TRACK, h->tdr);
	call_ok(h, TDH_MEM_TRACK, h->tdr);
	call_ok(h, TDH_MEM_TRACK, h->tdr);
	host_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(level0),
		cmocka_unit_test(level1),
		cmocka_unit_test(walk_details),
		cmocka_unit_test(operands),
		cmocka_unit_test(promote_and_demote),
		cmocka_unit_test(tracking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
