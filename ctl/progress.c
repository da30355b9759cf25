/* SPDX-License-Identifier: BSD-2-Clause */
#include "ctl/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/macros.h"
#include "ctl/out.h"

#define REDRAW_US (100 * US_PER_MS)
#define BAR_WIDTH 30

void
progress_begin(struct progress *p, const char *title)
{
	*p = (struct progress){.title = title, .started_us = clock_now_us()};
}

static void
draw_bar(uint64_t done, uint64_t total)
{
	double part = MIN_OF((double)done / (double)total, 1.0);
	int filled = (int)(part * BAR_WIDTH);

	fprintf(stderr, " [");
	for (int i = 0; i < BAR_WIDTH; i++)
		fputc(i < filled ? '#' : '.', stderr);
	fprintf(stderr, "] %3d %%", (int)(part * 100));
}

static void
draw(struct progress *p, uint64_t now, uint64_t done, uint64_t total)
{
	double seconds = (double)MAX_OF(now - p->started_us, 1u) / US_PER_S;
	char size[32], rate[32];

	out_format_bytes(size, sizeof(size), done);
	out_format_bytes(
		rate, sizeof(rate), (uint64_t)((double)done / seconds));
	fprintf(stderr, "\r%s", p->title);
	if (total > 0)
		draw_bar(done, total);
	fprintf(stderr, " %s, %s/s\033[K", size, rate);
	fflush(stderr);
}

void
progress_show(struct progress *p, uint64_t done, uint64_t total)
{
	uint64_t now = clock_now_us();

	if (arg_quiet || arg_json || !isatty(STDERR_FILENO) ||
		(p->shown && now - p->drawn_us < REDRAW_US))
		return;
	p->shown = true;
	p->drawn_us = now;
	draw(p, now, done, total);
}

void
progress_clear(struct progress *p)
{
	if (p->shown)
		fprintf(stderr, "\r\033[K");
	p->shown = false;
}
