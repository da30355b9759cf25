/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/unit/core_env.h"

static const uint8_t key[] = "a key of the server";
/* One for all scripts: mapping it anew would take most of their time. */
static uint8_t area[2 * SCRIPT_AREA_HALF];

static uint64_t
script_now(void *ctx)
{
	return ((struct script *)ctx)->now_ms;
}

static void
script_random(void *ctx, void *buf, size_t len)
{
	(void)ctx;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)rand();
}

static void
script_job_add(void *ctx, struct env_job *job)
{
	struct script *x = ctx;

	assert_true(x->n_jobs < SCRIPT_QUEUE_MAX);
	x->jobs[x->n_jobs++] = job;
}

static void
script_peer_request(void *ctx, struct env_peer_request *r)
{
	struct script *x = ctx;

	assert_true(x->n_requests < SCRIPT_QUEUE_MAX);
	x->requests[x->n_requests++] = r;
}

static void
script_take_request(struct script *x, size_t i)
{
	x->n_requests--;
	memmove(&x->requests[i], &x->requests[i + 1],
		(x->n_requests - i) * sizeof(x->requests[0]));
}

static void
script_peer_cancel(void *ctx, struct env_peer_request *r)
{
	struct script *x = ctx;

	for (size_t i = 0; i < x->n_requests; i++) {
		if (x->requests[i] != r)
			continue;
		script_take_request(x, i);
		x->cancelled[x->n_cancelled++] = r;
		return;
	}
	fail_msg("a request was given up that is not on the wire");
}

static void
script_timer_changed(void *ctx)
{
	(void)ctx;
}

static uint64_t
script_wall(void *ctx)
{
	struct script *x = ctx;

	return x->wall_ms + x->now_ms;
}

static void
script_probe(void *ctx, const struct env_probe *probe)
{
	struct script *x = ctx;

	if (x->on_probe != NULL)
		x->on_probe(x, probe);
}

static void
script_match(void *ctx, const struct env_match *match)
{
	struct script *x = ctx;

	if (x->on_match != NULL)
		x->on_match(x, match);
}

static const struct env_ops env_ops = {
	.probe = script_probe,
	.match = script_match,
	.now_ms = script_now,
	.random = script_random,
	.job = script_job_add,
	.peer_request = script_peer_request,
	.peer_cancel = script_peer_cancel,
	.timer_changed = script_timer_changed,
	.wall_ms = script_wall,
};

void
script_job(struct script *x, size_t i)
{
	struct env_job *job = x->jobs[i];

	x->n_jobs--;
	memmove(&x->jobs[i], &x->jobs[i + 1],
		(x->n_jobs - i) * sizeof(x->jobs[0]));
	if (job->run != NULL)
		job->run(job, x->bulk);
	job->done(job, true);
}

void
script_settle(struct script *x)
{
	while (x->n_jobs > 0 || x->n_cancelled > 0) {
		if (x->n_cancelled > 0) {
			struct env_peer_request *r =
				x->cancelled[--x->n_cancelled];

			r->status = ENV_PEER_REFUSED;
			r->done(r);
		} else {
			script_job(x, 0);
		}
	}
}

void
script_answer(struct script *x, size_t i, enum env_peer_status status)
{
	struct env_peer_request *r = x->requests[i];

	script_take_request(x, i);
	r->status = status;
	r->done(r);
}

void
script_time(struct script *x, uint64_t ms)
{
	x->now_ms += ms;
	service_tick(x->service);
}

void
script_nobody(struct script *x)
{
	/* A Probe, its end, with all that follows. */
	for (int i = 0; i < 3; i++) {
		script_time(x, 2 + x->settings.probe_timeout_ms);
		script_settle(x);
	}
}

struct script_op *
script_op_of(struct script *x, uint64_t id)
{
	assert_true((uint32_t)id < SCRIPT_OPS_MAX);
	return &x->ops[(uint32_t)id];
}

static void
script_complete(void *ctx, uint64_t id, const struct op_result *r)
{
	struct script *x = ctx;
	struct script_op *op = script_op_of(x, id);

	assert_int_equal(op->acks, 1);
	op->completions++;
	op->result = *r;
	op->result.inline_data = NULL;
	if (r->inline_len > 0 || r->range_len > 0) {
		free(op->data);
		/* An injected failure is meant for the service, and comes
		 * once. */
		op->data = malloc(r->bytes);
		if (op->data == NULL)
			op->data = malloc(r->bytes);
		memcpy(op->data,
			r->inline_len > 0 ? r->inline_data
					  : x->area + r->range_offset,
			r->bytes);
	}
	if (r->range_len > 0) {
		assert_true(x->n_ranges < SCRIPT_RANGES_MAX);
		x->ranges[x->n_ranges].offset = r->range_offset;
		x->ranges[x->n_ranges++].len = r->range_len;
	}
}

void
script_return(struct script *x)
{
	while (x->n_ranges > 0) {
		x->n_ranges--;
		assert_int_equal(session_return(x->session,
					 x->ranges[x->n_ranges].offset,
					 x->ranges[x->n_ranges].len),
			CORE_OK);
	}
}

static bool
script_accept(void *ctx, uint64_t id)
{
	struct script *x = ctx;

	if (x->deny_accept)
		return false;
	script_op_of(x, id)->acks++;
	return true;
}

static void
script_need(void *ctx, uint64_t id, uint32_t len)
{
	struct script *x = ctx;

	(void)len;
	x->n_need++;
	x->last_need_op = id;
}

static void
script_released(void *ctx, uint64_t id, uint32_t offset, uint32_t len)
{
	(void)id;
	(void)offset;
	(void)len;
	((struct script *)ctx)->n_released++;
}

static void
script_status(void *ctx, enum service_status s, uint32_t min, uint32_t max)
{
	struct script *x = ctx;

	(void)min;
	(void)max;
	x->n_status++;
	x->last_status = s;
}

static void
script_reply(
	void *ctx, uint64_t request, enum core_result result, uint64_t handle)
{
	struct script *x = ctx;

	x->n_replies++;
	x->reply_request = request;
	x->reply_result = result;
	x->reply_handle = handle;
}

static void
script_progress(void *ctx, uint64_t id, uint64_t done, uint64_t total)
{
	struct script *x = ctx;

	assert_int_equal(script_op_of(x, id)->acks, 1);
	assert_int_equal(script_op_of(x, id)->completions, 0);
	x->n_progress++;
	x->progress_done = done;
	x->progress_total = total;
}

static enum core_result
script_wait(struct script *x, enum core_result r, unsigned n_replies)
{
	if (r != CORE_LATER)
		return r;
	assert_int_equal(x->n_replies, n_replies);
	script_settle(x);
	assert_int_equal(x->n_replies, n_replies + 1);
	assert_true(x->reply_request == x->next_request);
	return x->reply_result;
}

enum core_result
script_info_open(struct script *x, const struct session_label *label,
	const struct session_range *range, uint32_t min_version,
	uint32_t max_version, uint64_t *ret_handle)
{
	unsigned before = x->n_replies;
	enum core_result r =
		session_info_open(x->session, ++x->next_request, label, range,
			&(struct session_versions){min_version, max_version},
			ret_handle);

	if (r != CORE_LATER)
		return r;
	r = script_wait(x, r, before);
	if (r == CORE_OK)
		*ret_handle = x->reply_handle;
	return r;
}

enum core_result
script_unpublish(struct script *x, const struct session_label *label)
{
	unsigned before = x->n_replies;

	return script_wait(x,
		session_unpublish(x->session, ++x->next_request, label),
		before);
}

const struct session_ops script_session_ops = {
	.complete = script_complete,
	.accept = script_accept,
	.need = script_need,
	.released = script_released,
	.status = script_status,
	.reply = script_reply,
	.progress = script_progress,
};

/* A fresh operation number, its record empty. */
uint64_t
script_op(struct script *x)
{
	uint32_t slot = x->next_op++ % SCRIPT_OPS_MAX;

	free(x->ops[slot].data);
	x->ops[slot] = (struct script_op){0};
	return (uint64_t)(x->next_op / SCRIPT_OPS_MAX + 1) << 32 | slot;
}

void
script_session(struct script *x)
{
	struct identity who = {.pid = 1, .uid = 1000};

	x->area_obj = area_new(
		x->area, SCRIPT_AREA_HALF, SCRIPT_AREA_HALF, NULL, NULL);
	assert_non_null(x->area_obj);
	assert_int_equal(session_new(&x->session, x->service, &who, x->area_obj,
				 &script_session_ops, x),
		CORE_OK);
}

void
script_init(struct script *x, enum service_mode mode)
{
	memset(x, 0, sizeof(*x));
	x->env = (struct env){.ops = &env_ops, .ctx = x};
	x->now_ms = 1000;
	x->bulk = bulk_new(BULK_EVP);
	x->store = store_mem_new(&x->env, 0);
	x->hashes = store_mem_hash_new(&x->env, 0);
	x->area = area;
	assert_int_equal(parse_addr_port("127.0.0.1:9", &x->peer), 0);
	x->settings = (struct service_settings){
		.policy = {.enabled = true,
			.mode = mode,
			.clients = {.all = true},
			.publishers = {.all = true}},
		.limits = {.max = {64, 1024, 65536, 256 << 20, 64},
			.content_info_bytes = 64 << 20},
		.preferred_content_version = 2,
		.encryption = PCCRR_AES128,
		.n_peers = 1,
		.peers = &x->peer,
		.max_peers = 16,
		.request_timeout_ms = 2000,
		.peer_strikes = 3,
		.quarantine_ms = 600000,
	};
	x->service =
		service_new(&x->env, x->store, &x->settings, key, sizeof(key));
	assert_non_null(x->service);
	service_set_hash_store(x->service, x->hashes);
	service_ready(x->service, true);
	script_session(x);
}

void
script_done(struct script *x)
{
	if (x->session != NULL)
		x->session = session_free(x->session, false);
	service_ready(x->service, false);
	while (x->n_requests > 0)
		script_answer(x, 0, ENV_PEER_TIMEOUT);
	script_settle(x);
	assert_true(service_idle(x->service));
	service_free(x->service);
	x->store->ops->close(x->store);
	x->hashes->ops->close(x->hashes);
	bulk_free(x->bulk);
	for (size_t i = 0; i < SCRIPT_OPS_MAX; i++)
		free(x->ops[i].data);
}

uint8_t *
script_content(size_t len)
{
	uint8_t *p = malloc(len);
	uint32_t v = 12345;

	for (size_t i = 0; i < len; i++) {
		v = v * 1664525u + 1013904223u;
		p[i] = (uint8_t)(v >> 24);
	}
	return p;
}

uint8_t *
script_information(const uint8_t *data, size_t len, int version,
	uint64_t offset, uint64_t range, size_t *ret_len)
{
	struct pccrc_pub *pub = pccrc_pub_new(PCCRC_MAKE_V1 | PCCRC_MAKE_V2);
	struct bulk *bulk = bulk_new(BULK_EVP);
	struct pccrc_desc *desc;
	uint8_t *bytes, *copy;

	assert_int_equal(pccrc_pub_feed(pub, bulk, data, len), 0);
	assert_int_equal(
		pccrc_pub_finish(pub, bulk, key, sizeof(key), &desc), 0);
	assert_int_equal(pccrc_desc_build(desc, version, offset,
				 range != 0 ? range : len, &bytes, ret_len),
		0);
	copy = malloc(*ret_len);
	memcpy(copy, bytes, *ret_len);
	sec_free(bytes, *ret_len);
	pccrc_desc_free(desc);
	pccrc_pub_free(pub);
	bulk_free(bulk);
	return copy;
}

struct session_slice
script_slice(struct script *x, const uint8_t *data, size_t len)
{
	struct session_slice s = {.len = (uint32_t)len};

	if (len <= 4096) {
		s.inline_data = data;
	} else {
		assert_true(len <= SCRIPT_AREA_HALF);
		memcpy(x->area, data, len);
	}
	return s;
}

/* Opens a content and feeds it its information; READY afterwards. */
uint64_t
script_open(struct script *x, const uint8_t *ci, size_t ci_len)
{
	static const uint8_t tag[SESSION_TAG_SIZE] = "tag";
	struct session_slice s = script_slice(x, ci, ci_len);
	uint64_t h, add = script_op(x), complete = script_op(x);

	assert_int_equal(session_content_open(x->session, tag, &h), CORE_OK);
	assert_int_equal(
		session_ci_add(x->session, add, h, (uint32_t)ci_len, &s),
		CORE_OK);
	assert_int_equal(session_ci_complete(x->session, complete, h), CORE_OK);
	script_settle(x);
	assert_int_equal(script_op_of(x, complete)->completions, 1);
	assert_int_equal(script_op_of(x, complete)->result.status, CORE_OK);
	return h;
}

void
script_answer_good(struct script *x, size_t i, const uint8_t *data, size_t len,
	const struct pccrc_info *info)
{
	struct env_peer_request *r = x->requests[i];

	if (r->kind == ENV_PEER_LIST) {
		r->held = r->asked;
		script_answer(x, i, ENV_PEER_OK);
		return;
	}
	for (size_t s = 0; s < info->n_segments; s++) {
		const struct pccrc_segment *seg = &info->segments[s];
		uint32_t n = pccrc_block_len(info, seg, r->block);
		uint64_t at = seg->start +
			(info->version == 1 ? r->block * 65536ull : 0);
		uint8_t id[BULK_DIGEST_MAX], iv[16] = {1, 2, 3};
		struct bulk_encrypt_job job;

		pccrc_segment_id(x->bulk, info->hash, seg->kp, seg->hod, id);
		if (memcmp(id, r->id, r->id_len) != 0)
			continue;
		assert_true(at + n <= len);
		r->data_len = pccrr_cipher_len(n);
		r->memory = malloc(r->data_len);
		if (r->memory == NULL) /* as in script_complete() */
			r->memory = malloc(r->data_len);
		r->data = r->memory;
		r->algo = PCCRR_AES128;
		memcpy(r->iv, iv, sizeof(iv));
		job = (struct bulk_encrypt_job){
			data + at, n, r->data, seg->kp, iv};
		assert_int_equal(bulk_encrypt(x->bulk, 16, &job, 1), 0);
		script_answer(x, i, ENV_PEER_OK);
		return;
	}
	fail_msg("a segment was asked for that is not of this content");
}
