/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fetches.
 *
 * A fetch is one segment that somebody wants blocks of; there is one for each
 * segment, however many readers, handles or users want it.  (A segment whose
 * block list proves nothing is not shared: what verifies for one reader need
 * not for another.  Nor are two that differ in their length, which nothing
 * proves.)  Readers wait on blocks, each with a timer of its own.
 *
 *	fetch_want      a reader misses a block
 *	fetch_go        the fetches that something happened to are updated, then
 *	                requests are given out (fetch_choose.c)
 *	fetch_ask       a request to one peer (fetch_ask.c)
 *	fetch_check     good bytes go to a worker to be decrypted and compared
 *	                with their hash, then into the store as they came
 *	                (fetch_check.c)
 *	fetch_block_end readable: its waiters are sent to read, mostly what is
 *	                still in memory (fetch_kept.c)
 *
 * Blocks are bits in sets: waited for, got ahead, busy, lacking; a record is
 * made only for those that ops wait for.  So what an answer costs here does not
 * depend on how many blocks, segments, readers and peers there are.
 *
 * One block is asked of one peer at a time; several blocks, peers and segments
 * are what runs side by side.  A block that every candidate has been tried for
 * waits while the branch is being asked who else has it (fetch_source.c), and
 * is lacking after that: its waiters are told, and it is not wanted any more.
 *
 * What a peer does, and what follows (fetch_ask.c, peers.c):
 *	empty answer     he does not have this block
 *	silence          another try, of others first, who are looked for now;
 *	                 after TIMEOUTS_MOST he is dropped here, and after a few
 *	                 in a row left alone by everybody
 *	refused          dropped here; the same
 *	broken protocol, dropped here, and a strike; enough strikes and nobody
 *	wrong bytes      asks him for a while
 *
 * Whoever wrote the content information can lie about the length of a segment:
 * its hashes are true, and an honest peer's bytes do not fit.  So an answer may
 * be as long as any block, and is judged wrong only when it has the hash at no
 * length at all; otherwise one user could have all peers put aside for
 * everybody.
 *
 * When nobody wants anything any more, requests on the wire are given up.  The
 * fetch goes when nothing runs for it any more; job and request results that
 * come later find no waiters.
 *
 * Ops are told from fetch_go() and from results only, never from inside the end
 * of another op: fetch_less() looks whether anything is left to do, and no
 * more.
 */
#include "daemon/core/fetch.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/fetch_kept.h"
#include "daemon/core/fetch_priv.h"

/* Of one user.  Above this many, segments are fetched only for those who wait
 * for them; above that many, not at all: the origin has them, too. */
#define FETCHES_AHEAD 1024u
#define FETCHES_MOST  4096u

struct fetcher *
fetcher_new(struct service *svc)
{
	struct fetcher *fr = calloc(1, sizeof(*fr));

	if (fr == NULL)
		return NULL;
	fr->service = svc;
	TAILQ_INIT(&fr->touched);
	for (int k = 0; k < _FETCH_CLASS_MAX; k++)
		TAILQ_INIT(&fr->rings[k]);
	return fr;
}

static void
key_make(struct content *c, size_t segment, struct fetch_key *ret_key)
{
	/* Compared as bytes, holes included. */
	memset(ret_key, 0, sizeof(*ret_key));
	ret_key->id_len = c->info->hash_size;
	ret_key->len = c->info->segments[segment].len;
	memcpy(ret_key->id, content_segment_id(c, segment), ret_key->id_len);
	ret_key->alone = c->info->segments[segment].proved ? NULL : c;
}

static struct fetch *
fetch_find(struct fetcher *fr, const struct fetch_key *key)
{
	struct fetch *f;

	HASH_FIND(hh, fr->fetches, key, sizeof(*key), f);
	return f;
}

void
fetch_touch(struct fetch *f)
{
	struct fetcher *fr = f->service->fetcher;

	if (f->is_touched)
		return;
	f->is_touched = true;
	TAILQ_INSERT_TAIL(&fr->touched, f, touched);
}

void
fetch_touch_all(struct fetcher *fr)
{
	struct fetch *f, *next;

	HASH_ITER(hh, fr->fetches, f, next)
	fetch_touch(f);
}

static void
untouch(struct fetch *f)
{
	if (f->is_touched)
		TAILQ_REMOVE(&f->service->fetcher->touched, f, touched);
	f->is_touched = false;
}

void
fetch_trouble(const struct fetch *f, enum ledger_trouble trouble,
	const struct peer *peer)
{
	ledger_trouble(f->service->ledger, f->key.id, f->key.id_len, trouble,
		peer != NULL ? &peer->view.addr : NULL);
}

static bool
is_whole(struct content *c, size_t segment)
{
	struct block_store *store = c->session->service->store;
	struct store_held held;

	store->ops->held(store, content_segment_id(c, segment),
		c->info->hash_size, &held);
	return held.n_blocks >= c->info->segments[segment].n_blocks;
}

/* Tells discovery when the whole segment is here now. */
static void
report_obtained(struct fetch *f)
{
	const struct pccrc_segment *seg = fetch_segment(f);

	if (f->n_stored == 0 || f->key.id_len != PCCRD_ID_SIZE ||
		!seg->proved || !service_has_peers(f->service))
		return;
	discover_obtained_some(f->service->discover, f->key.id);
	if (f->n_stored >= seg->n_blocks || is_whole(f->content, f->segment))
		discover_obtained(f->service->discover, f->key.id);
}

/* Some of it may have come from others, the last of it has not. */
static void
note_last(struct content *c, size_t segment)
{
	struct discover *d = c->session->service->discover;
	const uint8_t *id = content_segment_id(c, segment);

	if (c->info->hash_size == PCCRD_ID_SIZE &&
		c->info->segments[segment].proved &&
		discover_may_have_quorum(d, id) && is_whole(c, segment))
		discover_obtained(d, id);
}

static void
fetch_free(struct fetch *f)
{
	struct fetcher *fr = f->service->fetcher;

	assert(f->n_out == 0 && f->hold == 0);
	report_obtained(f);
	untouch(f);
	fetch_sources_end(f);
	HASH_DEL(fr->fetches, f);
	f->service->counters.fetches_running--;
	LIST_REMOVE(f, of_content);
	f->user->n_fetches--;
	fetch_user_unref(f->user);
	content_unref(f->content);
	free(f);
}

static bool
content_prepare(struct content *c)
{
	if (c->fetching != NULL)
		return true;
	c->fetching = calloc(1, sizeof(*c->fetching));
	if (c->fetching == NULL)
		return false;
	LIST_INIT(&c->fetching->fetches);
	c->fetching->content = c;
	fetch_check_init(c->fetching);
	fetch_kept_init(c->fetching);
	return true;
}

static struct fetch *
fetch_new(struct content *c, size_t segment, const struct fetch_key *key,
	struct fetch_user *user)
{
	struct service *svc = c->session->service;
	struct fetcher *fr = svc->fetcher;
	size_t n_blocks = c->info->segments[segment].n_blocks;
	struct fetch *f;

	if (!content_prepare(c))
		return NULL;
	f = calloc(1, sizeof(*f) + n_blocks * sizeof(f->at[0]));
	if (f == NULL)
		return NULL;
	f->key = *key;
	f->service = svc;
	f->segment = segment;
	TAILQ_INIT(&f->requests);
	TAILQ_INIT(&f->candidates);
	HASH_ADD(hh, fr->fetches, key, sizeof(f->key), f);
	if (f->hh.tbl == NULL) {
		free(f);
		return NULL;
	}
	f->user = user;
	user->refs++;
	user->n_fetches++;
	f->content = content_ref(c);
	LIST_INSERT_HEAD(&c->fetching->fetches, f, of_content);
	svc->counters.fetches_started++;
	svc->counters.fetches_running++;
	fetch_sources_begin(f);
	return f;
}

/* Nobody for this content, and nobody in the branch for this segment. */
static bool
nobody_known(struct content *c, size_t segment)
{
	struct service *svc = c->session->service;
	enum discover_state state = DISCOVER_OFF;

	if (peers_any_fixed(svc->peers) || fetch_friends_any(c))
		return false;
	if (c->info->hash_size == PCCRD_ID_SIZE)
		state = discover_state(
			svc->discover, content_segment_id(c, segment));
	return state == DISCOVER_OFF || state == DISCOVER_NOBODY;
}

static enum fetch_answer
nobody(struct content *c, size_t segment)
{
	struct service *svc = c->session->service;
	enum ledger_trouble why = LEDGER_NOBODY;

	if (svc->settings.policy.mode == MODE_LOCAL)
		why = LEDGER_MODE;
	else if (!service_has_peers(svc))
		why = LEDGER_NO_SOURCE;
	ledger_trouble(svc->ledger, content_segment_id(c, segment),
		c->info->hash_size, why, NULL);
	return FETCH_NOBODY;
}

/* The fetch of a segment, made if there is somebody to ask. */
static enum fetch_answer
fetch_get(
	struct content *c, size_t segment, bool ahead, struct fetch **ret_fetch)
{
	struct service *svc = c->session->service;
	struct fetch_user *user;
	struct fetch_key key;
	bool full;

	if (svc->settings.policy.mode == MODE_LOCAL)
		return nobody(c, segment);
	key_make(c, segment, &key);
	*ret_fetch = fetch_find(svc->fetcher, &key);
	if (*ret_fetch != NULL)
		return FETCH_WAIT;
	if (nobody_known(c, segment))
		return nobody(c, segment);
	user = fetch_user_get(svc->fetcher, c->owner.uid);
	if (user == NULL)
		return FETCH_NO_MEMORY;
	full = user->n_fetches >= (ahead ? FETCHES_AHEAD : FETCHES_MOST);
	if (!full)
		*ret_fetch = fetch_new(c, segment, &key, user);
	fetch_user_unref(user);
	if (full)
		return FETCH_NOBODY;
	return *ret_fetch != NULL ? FETCH_WAIT : FETCH_NO_MEMORY;
}

static bool
wanted(struct fetch *f)
{
	if (f->content->closed)
		memset(&f->ahead, 0, sizeof(f->ahead));
	return fetch_set_any(&f->waited) || fetch_set_any(&f->ahead);
}

/* false: it was freed. */
static bool
end_unwanted(struct fetch *f)
{
	if (f->hold > 0 || wanted(f))
		return true;
	fetch_give_up(f);
	fetch_queue(f);
	if (f->n_out > 0)
		return true;
	fetch_free(f);
	return false;
}

/* Less is wanted of it.  Nobody can gain by that. */
static void
fetch_less(struct fetch *f)
{
	if (end_unwanted(f))
		fetch_queue(f);
}

/* source->idle of a block. */
static void
block_idle(struct op_source *source)
{
	struct fetch_block *b =
		container_of(source, struct fetch_block, source);
	struct fetch *f = b->fetch;

	fetch_set_del(&f->waited, b->index);
	f->at[b->index] = NULL;
	free(b);
	fetch_less(f);
}

static struct fetch_block *
block_get(struct fetch *f, uint32_t index)
{
	struct fetch_block *b = f->at[index];

	if (b != NULL)
		return b;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	b->fetch = f;
	b->index = index;
	op_source_init(&b->source, block_idle);
	f->at[index] = b;
	return b;
}

void
fetch_block_end(struct fetch *f, uint32_t block, void (*tell)(struct op *))
{
	struct fetch_block *b = f->at[block];
	struct op *op;

	assert(f->hold > 0);
	fetch_set_del(&f->ahead, block);
	if (b == NULL)
		return;
	b->source.hold++;
	while ((op = TAILQ_FIRST(&b->source.waiters)) != NULL) {
		op_wait(op, NULL);
		tell(op);
	}
	fetch_set_del(&f->waited, block);
	f->at[block] = NULL;
	free(b);
}

void
fetch_block_lacking(struct fetch *f, uint32_t block)
{
	pccrr_set_add(&f->lacking, block);
	fetch_block_end(f, block, content_read_lacking);
}

static void
lacking_all(struct fetch *f, const struct pccrr_set *blocks)
{
	f->hold++;
	for (uint32_t i = pccrr_set_next(blocks, 0); i < PCCRR_BLOCKS_MAX;
		i = pccrr_set_next(blocks, i + 1))
		fetch_block_lacking(f, i);
	f->hold--;
}

/* Idle blocks that nobody is left to be asked for who was silent no more than
 * so often. */
static bool
stuck_blocks(
	const struct fetch *f, unsigned timeouts_most, struct pccrr_set *ret)
{
	const struct fetch_candidate *c;

	*ret = fetch_idle(f);
	TAILQ_FOREACH (c, &f->candidates, link)
		if (fetch_candidate_usable(c) && c->timeouts <= timeouts_most)
			*ret = fetch_set_and(ret, &c->lacks);
	return fetch_set_any(ret);
}

static void
update(struct fetch *f)
{
	struct pccrr_set stuck;

	untouch(f);
	if (f->hold > 0)
		return;
	if (f->over) {
		f->over = false;
		fetch_trouble(f, LEDGER_MODE, NULL);
		lacking_all(f, &f->ahead);
		stuck = f->waited;
		lacking_all(f, &stuck);
	}
	/* Who was silent once may be so again: it is time to look for others,
	 * before those who wait give up. */
	if (f->service->status == SERVICE_AVAILABLE && wanted(f) &&
		stuck_blocks(f, 0, &stuck) && !fetch_ask_branch(f) &&
		stuck_blocks(f, UINT_MAX, &stuck))
		lacking_all(f, &stuck);
	if (end_unwanted(f))
		fetch_queue(f);
}

void
fetch_go(struct service *svc)
{
	struct fetcher *fr = svc->fetcher;
	struct fetch *f;

	if (fr->going)
		return;
	fr->going = true;
	do {
		while ((f = TAILQ_FIRST(&fr->touched)) != NULL)
			update(f);
		fetch_pump(fr);
	} while (!TAILQ_EMPTY(&fr->touched));
	fr->going = false;
}

/* Somebody waits for what nobody had.  A host may have it by now, unless it
 * said what it has. */
static void
try_again(struct fetch *f, uint32_t block)
{
	struct fetch_candidate *c;

	fetch_set_del(&f->lacking, block);
	TAILQ_FOREACH (c, &f->candidates, link)
		if (!c->said)
			fetch_set_del(&c->lacks, block);
}

enum fetch_answer
fetch_want(struct content *c, size_t segment, uint32_t block, struct op *op)
{
	enum fetch_answer answer;
	struct fetch_block *b;
	struct fetch *f;

	answer = fetch_get(c, segment, op == NULL, &f);
	if (answer != FETCH_WAIT)
		return answer;
	fetch_touch(f);
	if (op == NULL) {
		if (pccrr_set_has(&f->lacking, block))
			return FETCH_NOBODY;
		pccrr_set_add(&f->ahead, block);
		return FETCH_WAIT;
	}
	b = block_get(f, block);
	if (b == NULL)
		return FETCH_NO_MEMORY;
	fetch_sources_hasten(f, c->owner.uid);
	if (pccrr_set_has(&f->lacking, block))
		try_again(f, block);
	pccrr_set_add(&f->waited, block);
	op_wait(op, &b->source);
	return FETCH_WAIT;
}

static void
have_in(struct fetcher *fr, const struct fetch_key *key, uint32_t block)
{
	struct fetch *f = fetch_find(fr, key);

	if (f == NULL)
		return;
	f->hold++;
	fetch_set_del(&f->lacking, block);
	fetch_block_end(f, block, content_read_arrived);
	f->hold--;
	fetch_touch(f);
}

void
fetch_have(struct content *c, size_t segment, uint32_t block)
{
	struct service *svc = c->session->service;
	struct fetch_key key;

	note_last(c, segment);
	if (svc->fetcher->fetches == NULL)
		return;
	key_make(c, segment, &key);
	have_in(svc->fetcher, &key, block);
	/* What one handle can prove serves those who wait elsewhere too, and
	 * the other way round, as far as their claims are equal. */
	key.alone = key.alone == NULL ? c : NULL;
	have_in(svc->fetcher, &key, block);
	fetch_go(svc);
}

static bool
may_find(const struct fetch *f)
{
	const struct fetch_candidate *c;

	TAILQ_FOREACH (c, &f->candidates, link)
		if (fetch_candidate_usable(c))
			return true;
	return f->waiter.waiting;
}

bool
fetch_nobody(struct content *c, size_t segment)
{
	struct service *svc = c->session->service;
	struct fetch_key key;
	struct fetch *f;

	if (svc->settings.policy.mode == MODE_LOCAL)
		return true;
	if (svc->fetcher->fetches != NULL) {
		key_make(c, segment, &key);
		f = fetch_find(svc->fetcher, &key);
		if (f != NULL && may_find(f))
			return false;
	}
	return nobody_known(c, segment);
}

enum fetch_state
fetch_state(struct content *c, size_t segment, uint32_t block)
{
	struct service *svc = c->session->service;
	struct fetch_key key;
	struct fetch *f = NULL;

	if (svc->fetcher->fetches != NULL) {
		key_make(c, segment, &key);
		f = fetch_find(svc->fetcher, &key);
	}
	if (f != NULL &&
		(pccrr_set_has(&f->waited, block) ||
			pccrr_set_has(&f->ahead, block)))
		return FETCH_COMING;
	if (f != NULL && pccrr_set_has(&f->lacking, block))
		return FETCH_LACKING;
	return fetch_nobody(c, segment) ? FETCH_LACKING : FETCH_UNTRIED;
}

void
fetch_left(struct content *c)
{
	struct fetch *f, *next;

	if (c->fetching == NULL)
		return;
	fetch_kept_drop(c->fetching);
	for (f = LIST_FIRST(&c->fetching->fetches); f != NULL; f = next) {
		next = LIST_NEXT(f, of_content);
		fetch_less(f);
	}
}

void
fetch_content_free(struct content *c)
{
	struct fetch_content *fc = c->fetching;

	if (fc == NULL)
		return;
	assert(LIST_EMPTY(&fc->fetches) && TAILQ_EMPTY(&fc->arrived));
	wheel_stop(&fc->timer);
	fetch_kept_drop(fc);
	assert(fc->n_kept == 0);
	for (unsigned i = 0; i < fc->n_friends; i++)
		peer_unref(fc->friends[i].peer);
	free(fc);
	c->fetching = NULL;
}

void
fetch_reconsider(struct service *svc)
{
	enum service_mode mode = svc->settings.policy.mode;
	struct fetcher *fr = svc->fetcher;
	bool left = fr->mode != mode &&
		(fr->mode == MODE_DISTRIBUTED || mode == MODE_LOCAL);
	struct fetch *f, *next;

	fr->mode = mode;
	if (svc->status != SERVICE_AVAILABLE)
		return;
	HASH_ITER(hh, fr->fetches, f, next)
	{
		f->over = left;
		fetch_touch(f);
	}
	fetch_go(svc);
}

void
fetch_stop_all(struct service *svc)
{
	struct fetch *f, *next;

	HASH_ITER(hh, svc->fetcher->fetches, f, next)
	{
		memset(&f->ahead, 0, sizeof(f->ahead));
		fetch_less(f);
	}
}

struct fetcher *
fetcher_free(struct fetcher *fr)
{
	struct fetch *f, *next;

	if (fr == NULL)
		return NULL;
	HASH_ITER(hh, fr->fetches, f, next)
	fetch_free(f);
	assert(LIST_EMPTY(&fr->users));
	free(fr);
	return NULL;
}
