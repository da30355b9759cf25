/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A download through the branch, and an example of how to use the library.
 *
 * One thread, one loop.  It waits for the network (libcurl's) and for the
 * completion port (branch.c) in one poll, hands out what has happened, and then
 * takes the next step of the state that the download is in:
 *
 *	FIRST	the first request is under way.  It says that we understand
 *		PeerDist, when there is a service.
 *	PLAIN	its answer is the file.
 *	INFO	its answer is content information, ...
 *	OPEN	... with which the service is asked for the content ...
 *	FILL	... and the file is put together (fill.c).
 *	HASH	the file is complete, and the origin wants to be asked for its
 *		content information, since it had none when the file was sent.
 *	WAIT	It still has none.
 *	TELL	It has: the service is told, ...
 *	GIVE	... and given the file, so that the next one in the branch finds
 *		it there (give.c).
 *	END
 *
 *	FIRST -> PLAIN -> END
 *	            \---> HASH -> TELL -> GIVE -> END
 *	                   ^  \-> WAIT
 *	                   \-------/
 *	FIRST -> INFO -> OPEN -> FILL -> END
 *
 * Whatever shows that the resource has changed meanwhile, or that the origin
 * has something else than it described, leads to get_again(): what is there is
 * thrown away, and the file is asked for anew without PeerDist.  Where an
 * answer to a range request was the whole resource, that answer is taken over.
 * A service that cannot be used is no failure either: then it is an ordinary
 * download.
 *
 * What the first answer leads to is in get_answer.c, HASH to GIVE in
 * get_share.c.
 *
 * libcurl's callbacks must not start or end other transfers.  They note in
 * "next" what is to happen, let their own transfer wait or stop, and the step
 * after the loop's wait does it.
 *
 * The part is renamed to its name when it is complete, and when what is known
 * of it has been checked: its length, the hashes of what came from origin and
 * branch, and for a plain answer that is followed by a hash request the
 * validators of that one's first answer, or the hashes if those came with it.
 */
#include "get/get.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/macros.h"
#include "get/get_priv.h"

#define LABEL         "peerdist-get"
#define RESTARTS_MOST 3u
#define IDLE_MS       1000
#define BAR_MS        100

/* Ends. */

void
get_fail(struct get *g, enum report_exit code, const char *fmt, ...)
{
	va_list args;

	g->next = NEXT_FAILED;
	if (g->report.exit != REPORT_OK)
		return;
	g->report.exit = code;
	va_start(args, fmt);
	vsnprintf(g->report.message, sizeof(g->report.message), fmt, args);
	va_end(args);
}

bool
get_local_ok(struct get *g, int r)
{
	char text[400];

	if (r == 0)
		return true;
	if (r == -EINTR) {
		g->next = NEXT_NOTHING;
		return false;
	}
	part_problem(g->part, r, text, sizeof(text));
	get_fail(g, REPORT_FILE, "%s", text);
	return false;
}

bool
get_memory_ok(struct get *g, bool ok)
{
	if (!ok)
		get_fail(g, REPORT_FAILED, "%s", strerror(ENOMEM));
	return ok;
}

void
get_note(struct get *g, enum get_next next, const char *why)
{
	g->next = next;
	snprintf(g->why, sizeof(g->why), "%s", why != NULL ? why : "");
}

static void
forget_content(struct get *g)
{
	g->fill = fill_free(g->fill);
	g->give = give_free(g->give);
	if (g->branch != NULL)
		branch_close(g->branch);
	g->described = described_free(g->described);
	secbuf_done(&g->info);
}

void
get_again(struct get *g, struct origin_transfer *body, const char *why)
{
	if (g->report.restarts == RESTARTS_MOST) {
		get_fail(g, REPORT_NETWORK, "%s, again and again", why);
	} else {
		report_say(&g->report, "%s; starting again", why);
		g->report.restarts++;
	}
	/* From here on why may be gone. */
	forget_content(g);
	g->transfer = origin_cancel(g->transfer);
	g->before_size = 0;
	g->written = 0;
	report_forget(&g->report);
	if (g->committed)
		g->wrong = true;
	g->committed = false;
	if (!get_local_ok(g, part_reopen(g->part)) || g->next == NEXT_FAILED) {
		origin_cancel(body);
		return;
	}
	if (body == NULL) {
		get_first_request(g, ORIGIN_ASK_PLAIN);
		return;
	}
	g->next = NEXT_NOTHING;
	g->asked = ORIGIN_ASK_PLAIN;
	g->transfer = body;
	origin_hand_over(body, &get_first_ops, g);
	if (get_take_answer(g, origin_answered(body)) &&
		get_file_begins(g, origin_answered(body)) == ORIGIN_ON)
		origin_resume(body);
}

/* The end of a plain answer. */

void
get_commit(struct get *g)
{
	if (g->committed || !get_local_ok(g, part_commit(g->part)))
		return;
	g->committed = true;
	g->wrong = false;
	report_complete(&g->report);
}

static void
finish(struct get *g)
{
	get_commit(g);
	g->state = GET_END;
}

static void
body_ended(struct get *g)
{
	enum pccrtp_body body = pccrtp_response(&g->fields, g->written);

	if (g->length != UINT64_MAX && g->written != g->length) {
		get_fail(g, REPORT_NETWORK, "the answer was cut off");
	} else if (g->length == UINT64_MAX && body == PCCRTP_BODY_STRIPPED) {
		if (get_refused(
			    g, "something on the way takes the coding away") ==
				ORIGIN_STOP &&
			g->next == NEXT_AGAIN)
			get_again(g, NULL, g->why);
	} else if (g->make_hash && g->written > 0) {
		g->hash_tries = 0;
		get_hash_request(g);
	} else {
		finish(g);
	}
}

/* Content information has come. */

static void
opening_done(struct branch_op *op, const struct branch_end *end)
{
	struct get *g = container_of(op, struct get, opening);

	g->opened = end->code;
	if (g->state == GET_OPEN || g->state == GET_TELL)
		g->next = NEXT_OPENED;
}

bool
get_understand(struct get *g)
{
	int r = described_new(&g->described, g->info.bytes, g->info.len);

	if (r < 0)
		return get_memory_ok(g, false);
	if (r > 0 ||
		!pccrtp_info_fits(
			&g->fields, NULL, 0, described_length(g->described))) {
		g->described = described_free(g->described);
		get_note(g, NEXT_AGAIN,
			"the content information is not of this file");
		return false;
	}
	g->report.version = described_version(g->described);
	return true;
}

void
get_open_content(struct get *g, enum get_state state)
{
	DWORD code;

	g->state = state;
	g->opening.done = opening_done;
	code = branch_open(
		g->branch, LABEL, g->info.bytes, g->info.len, &g->opening);
	if (code != ERROR_SUCCESS) {
		g->opened = code;
		g->next = NEXT_OPENED;
	}
}

static void
info_ended(struct get *g)
{
	if (!get_understand(g)) {
		if (g->next == NEXT_AGAIN)
			get_again(g, NULL, g->why);
		return;
	}
	g->length = g->report.total = described_length(g->described);
	if (get_local_ok(g, part_spool(g->part)))
		get_open_content(g, GET_OPEN);
}

static void
fill_begins(struct get *g)
{
	struct fill_setup setup = {
		.origin = g->origin,
		.branch = g->branch,
		.part = g->part,
		.described = g->described,
		.report = &g->report,
		.url = &g->url,
		.etag = g->etag,
		.modified = g->modified,
		.if_range = g->validator,
		.ask_peers = !g->opt->no_peers,
	};

	secbuf_done(&g->info);
	g->state = GET_FILL;
	(void)get_memory_ok(g, fill_new(&g->fill, &setup) == 0);
}

static void
fill_goes_on(struct get *g)
{
	switch (fill_step(g->fill)) {
	case FILL_RUNNING:
		break;
	case FILL_DONE:
		if (get_local_ok(g, part_emit(g->part, g->length)))
			finish(g);
		break;
	case FILL_CHANGED:
		get_again(g, fill_body(g->fill), fill_why(g->fill));
		break;
	case FILL_BROKEN:
		get_fail(g, REPORT_NETWORK, "%s", fill_why(g->fill));
		break;
	case FILL_LOCAL:
		(void)get_local_ok(g, fill_local(g->fill));
		break;
	}
}

/* Steps. */

static void
opened(struct get *g)
{
	if (g->state == GET_TELL)
		get_give_begins(g);
	else if (g->opened == ERROR_SUCCESS)
		fill_begins(g);
	else
		get_again(g, NULL, branch_reason(g->opened));
}

static void
handle_next(struct get *g)
{
	enum get_next next = g->next;

	g->next = NEXT_NOTHING;
	switch (next) {
	case NEXT_NOTHING:
		break;
	case NEXT_BODY_ENDED:
		body_ended(g);
		break;
	case NEXT_INFO_ENDED:
		if (g->state == GET_HASH)
			get_hash_info_ended(g);
		else
			info_ended(g);
		break;
	case NEXT_AGAIN:
		get_again(g, NULL, g->why);
		break;
	case NEXT_CONTINUE:
		g->transfer = origin_cancel(g->transfer);
		get_first_request(g, ORIGIN_ASK_PLAIN);
		break;
	case NEXT_THERE:
		g->transfer = origin_cancel(g->transfer);
		g->written = g->report.kept = g->before_size;
		g->report.total = g->length;
		body_ended(g);
		break;
	case NEXT_NO_INFO:
		get_hash_later(g);
		break;
	case NEXT_OPENED:
		opened(g);
		break;
	case NEXT_FAILED:
		g->next = next;
		break;
	}
}

static void
step(struct get *g)
{
	while (g->next != NEXT_NOTHING && g->next != NEXT_FAILED)
		handle_next(g);
	if (g->next == NEXT_NOTHING && g->state == GET_FILL)
		fill_goes_on(g);
	else if (g->next == NEXT_NOTHING && g->state == GET_GIVE)
		get_give_goes_on(g);
	else if (g->next == NEXT_NOTHING && g->state == GET_WAIT &&
		clock_now_us() >= g->hash_next_us)
		get_hash_request(g);
	else if (g->next == NEXT_NOTHING && g->state == GET_HASH &&
		clock_now_us() >= g->hash_next_us) {
		g->transfer = origin_cancel(g->transfer);
		get_hash_later(g);
	}
	if (g->next == NEXT_FAILED)
		g->state = GET_END;
}

static int
timeout_ms(const struct get *g)
{
	int ms = g->report.bar ? BAR_MS : IDLE_MS;
	uint64_t now = clock_now_us();

	/* A step that has found something to do does it at once. */
	if (g->next != NEXT_NOTHING)
		return 0;
	if (g->state == GET_FILL)
		ms = MIN_OF(ms, fill_timeout_ms(g->fill));
	if (g->state == GET_GIVE && give_is_busy(g->give))
		ms = 0;
	if (g->state == GET_WAIT || g->state == GET_HASH)
		ms = g->hash_next_us <= now
			? 0
			: (int)MIN_OF((uint64_t)ms,
				  (g->hash_next_us - now) / US_PER_MS + 1);
	return ms;
}

static void
loop(struct get *g)
{
	while (g->state != GET_END && !*g->stop) {
		int fds[] = {g->stop_fd,
			g->branch != NULL ? branch_fd(g->branch) : -1};

		if (!get_memory_ok(g,
			    origin_run(g->origin, fds, ARRAY_LEN(fds),
				    timeout_ms(g)) == 0))
			return;
		if (g->branch != NULL)
			branch_take(g->branch);
		step(g);
		report_draw(&g->report);
	}
}

/* Begin and end. */

static bool
begin_branch(struct get *g)
{
	g->branch = branch_new();
	if (!get_memory_ok(g, g->branch != NULL))
		return false;
	g->report.has_service = branch_available(g->branch);
	if (!g->report.has_service) {
		g->branch = branch_free(g->branch);
		report_say(&g->report,
			"the peer distribution service is not "
			"there; this is an ordinary download");
	}
	return true;
}

static bool
begin_file(struct get *g)
{
	if (g->opt->file != NULL && strcmp(g->opt->file, "-") == 0) {
		g->report.file = "-";
		return get_local_ok(g, part_open_stdout(&g->part, g->stop));
	}
	if (g->opt->file != NULL) {
		g->file = strdup(g->opt->file);
	} else {
		g->file = url_file_name(&g->named);
		if (g->file == NULL && errno != ENOMEM) {
			get_fail(g, REPORT_USAGE,
				"there is no file name in the URL; -o names "
				"one");
			return false;
		}
	}
	if (!get_memory_ok(g, g->file != NULL))
		return false;
	g->report.file = g->file;
	return get_local_ok(g, part_open(&g->part, g->file));
}

static void
begin_before(struct get *g)
{
	if (!g->opt->resume ||
		part_found(g->part, &g->before, &g->before_size) != 0)
		return;
	if (g->before.encoded || strcmp(g->before.url, g->named.text) != 0 ||
		http_range_validator(g->before.etag, g->before.modified) ==
			NULL)
		g->before_size = 0;
}

static bool
begin(struct get *g)
{
	int r = url_parse(&g->named, g->opt->url);

	report_begin(&g->report);
	g->report.json = g->opt->json;
	if (r > 0) {
		get_fail(g, REPORT_USAGE,
			r == URL_SCHEME ? "only http and https URLs"
					: "that is not a URL");
		return false;
	}
	if (!get_memory_ok(g, r == 0 && origin_new(&g->origin, &g->named) == 0))
		return false;
	g->report.url = g->named.text;
	if (!begin_file(g) || !begin_branch(g))
		return false;
	begin_before(g);
	get_first_request(
		g, g->branch != NULL ? ORIGIN_ASK_CONTENT : ORIGIN_ASK_PLAIN);
	return g->next != NEXT_FAILED;
}

/* Interrupted: a file that only waited for others is complete. */
static void
interrupted(struct get *g)
{
	if (g->state == GET_HASH)
		get_commit(g);
	if (g->committed)
		return;
	get_fail(g, REPORT_FAILED, "interrupted");
}

static bool
can_continue(const struct get *g)
{
	uint64_t there = g->state == GET_FIRST ? g->before_size : g->written;

	if (part_is_stdout(g->part) || g->wrong)
		return false;
	if (g->fill != NULL)
		there = g->report.by[0] + g->report.by[1] + g->report.by[2];
	return there > 0 && (g->state == GET_FIRST || g->validator != NULL);
}

static void
end(struct get *g, bool stopped)
{
	bool keep = false;

	if (g->report.exit != REPORT_OK && g->part != NULL &&
		(stopped || g->report.exit == REPORT_NETWORK))
		keep = can_continue(g);
	forget_content(g);
	if (keep)
		report_say(&g->report,
			"what has come is kept for --continue: %s" PART_SUFFIX,
			g->file);
	part_close(g->part, keep);
	branch_free(g->branch);
	origin_free(g->origin);
	url_done(&g->url);
	free(g->etag);
	free(g->modified);
	part_note_done(&g->before);
}

enum report_exit
get_run(const struct get_options *opt, const volatile sig_atomic_t *stop,
	int stop_fd)
{
	struct get g = {
		.opt = opt,
		.stop = stop,
		.stop_fd = stop_fd,
		.report = {.quiet = opt->quiet},
		.length = UINT64_MAX,
	};
	bool stopped;
	enum report_exit code;

	if (begin(&g))
		loop(&g);
	stopped = *stop && g.state != GET_END;
	if (stopped)
		interrupted(&g);
	end(&g, stopped);
	if (!report_end(&g.report) && g.report.exit == REPORT_OK)
		g.report.exit = REPORT_FILE;
	code = g.report.exit;
	free(g.file);
	url_done(&g.named);
	return code;
}
