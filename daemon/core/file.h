/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file that is being published by descriptor: what publish_file.c shares with
 * standing_publish.c.
 */
#ifndef CORE_FILE_H
#define CORE_FILE_H

#include <sys/stat.h>

#include "daemon/core/publish.h"

#define FILE_JOBS      4
#define FILE_BLOCKS    16u /* of one job with version 1 */
#define FILE_HASH_SIZE 32u /* SHA-256 */

struct file;

struct file_job {
	struct core_job job;
	struct file *file;
	bool running;
	uint64_t at; /* in the published range */
	uint32_t len;
	int result; /* 0, -errno; enum core_result */
	uint8_t *buffer;
	uint8_t hashes[FILE_BLOCKS * FILE_HASH_SIZE];
};

/* What becomes of a file that is hashed.  Any may be NULL but finished. */
struct file_ops {
	/* Worker: the file was looked at and is "before".  0, -errno, enum
	 * core_result. */
	int (*look)(struct file *);
	/* Worker: "desc" is there.  The same. */
	int (*described)(struct file *);
	/* Loop: some more is hashed. */
	void (*progress)(struct file *);
	/* Loop: all is done; ends the operation, or begins more work for it
	 * (file_work). */
	void (*finished)(struct file *);
	/* The file goes: frees what lies around it, too. */
	void (*destroy)(struct file *);
};

struct file {
	struct publication_handle h;
	const struct file_ops *ops;
	struct session *session; /* reference */
	struct op *op;           /* NULL: ended */
	bool detached;           /* handle removed */
	bool parallel;
	bool slow;      /* the file system may stall */
	uint32_t chunk; /* bytes of a job */
	int fd;
	uint64_t offset;
	uint64_t length;
	uint64_t next;   /* first byte that no job was given */
	uint64_t hashed; /* bytes */
	unsigned n_jobs;
	unsigned n_running;    /* and other work that is under way */
	uint64_t size;         /* of the file, as it was accepted */
	uint64_t buffer_bytes; /* counted */
	struct stat before;
	struct pccrc_pub *hasher;
	struct pccrc_desc *desc;
	struct server_key *key; /* while finishing */
	struct file_job jobs[FILE_JOBS];
};

struct file_params {
	uint64_t op;
	enum op_kind kind;
	const struct session_label *label;
	struct session_range range;
	unsigned make; /* PCCRC_MAKE_* */
	int fd;
};

/* Takes the file, zeroed but for what its maker put around it, and the
 * descriptor over; unless accepted, the file is destroyed again. */
enum core_result file_start(struct file *, struct session *,
	const struct file_ops *, const struct file_params *);
/* Work that the file must outlive has begun, has ended.  file_work_done():
 * false: the operation is over, and the file may be gone. */
void file_work(struct file *);
bool file_work_done(struct file *);

#endif
