// SPDX-License-Identifier: MIT OR Apache-2.0
/* Programs that are no objects: maps are made once, and each program is loaded by bpf(2) as it is in the file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "raw.h"

#define NAME_BYTES 16
#define MAX_MAPS 64
#define NO_MAP 0xffffffffu
/* How long one program may be verified; it may keep a gigabyte of states by then. */
#define SECONDS_PER_PROGRAM 10

/* A file in memory, read from its beginning to its end. */
struct reader {
	const char *at;
	const char *end;
	const char *wrong;
};

static const void *take(struct reader *r, size_t bytes)
{
	const char *at = r->at;

	if (r->wrong || (size_t)(r->end - at) < bytes) {
		r->wrong = "the file is cut short";
		return NULL;
	}
	r->at += bytes;
	return at;
}

static __u32 word(struct reader *r)
{
	const void *at = take(r, sizeof(__u32));
	__u32 n = 0;

	if (at)
		memcpy(&n, at, sizeof(n));
	return n;
}

/* Bytes behind their number, up to a multiple of four. */
static const void *bytes(struct reader *r, __u32 *len)
{
	*len = word(r);
	return take(r, (*len + 3) & ~3u);
}

static char reason[128];

static const char *failed(const char *what, const char *name, int error)
{
	snprintf(reason, sizeof(reason), "%s %s: %s", what, name, strerror(-error));
	return reason;
}

static const char *make_map(struct reader *r, int btf_fd, int *fds, __u32 nth)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	__u32 type = word(r), key = word(r), value = word(r), entries = word(r), flags = word(r);
	__u32 key_type = word(r), value_type = word(r), inner = word(r), init_len, zero = 0;
	const void *extra = take(r, 8), *name = take(r, NAME_BYTES), *init = bytes(r, &init_len);

	if (r->wrong)
		return r->wrong;
	opts.map_flags = flags;
	memcpy(&opts.map_extra, extra, 8);
	if (value_type) {
		opts.btf_fd = btf_fd;
		opts.btf_key_type_id = key_type;
		opts.btf_value_type_id = value_type;
	}
	if (inner != NO_MAP) {
		if (inner >= nth)
			return "an inner map comes later than its template";
		opts.inner_map_fd = fds[inner];
	}
	fds[nth] = bpf_map_create(type, name, key, value, entries, &opts);
	if (fds[nth] < 0)
		return failed("map", name, fds[nth]);
	if (!init_len)
		return NULL;
	if (bpf_map_update_elem(fds[nth], &zero, init, 0) || bpf_map_freeze(fds[nth]))
		return failed("value of map", name, -errno);
	return NULL;
}

/* Puts the maps' file descriptors where instructions name them by their place in the table. */
static void fill_in_maps(struct bpf_insn *insns, __u32 count, const int *fds, __u32 nr_maps)
{
	for (__u32 i = 0; i + 1 < count; i++) {
		if (insns[i].code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if ((insns[i].src_reg == BPF_PSEUDO_MAP_FD || insns[i].src_reg == BPF_PSEUDO_MAP_VALUE) &&
		    (__u32)insns[i].imm < nr_maps)
			insns[i].imm = fds[insns[i].imm];
		i++;
	}
}

struct raw_log {
	char *buf;
	__u32 bytes;
	__u32 level;
};

static void load(struct reader *r, int btf_fd, const int *fds, __u32 nr_maps, struct raw_log *log, raw_answer answer)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	__u32 type = word(r), attach = word(r), attach_id = word(r), flags = word(r), count = word(r), infos = word(r);
	const void *name = take(r, NAME_BYTES), *code = take(r, count * sizeof(struct bpf_insn));
	const void *info = take(r, infos * 8ul);
	struct itimerval limit = { .it_value.tv_sec = SECONDS_PER_PROGRAM, .it_interval.tv_sec = 1 };
	struct itimerval none = {};
	struct bpf_insn *insns;
	int fd;

	if (r->wrong)
		return;
	insns = malloc(count * sizeof(*insns));
	memcpy(insns, code, count * sizeof(*insns));
	fill_in_maps(insns, count, fds, nr_maps);
	opts.expected_attach_type = attach;
	opts.attach_btf_id = attach_id;
	opts.prog_flags = flags;
	opts.prog_btf_fd = btf_fd;
	opts.func_info = info;
	opts.func_info_cnt = infos;
	opts.func_info_rec_size = 8;
	opts.fd_array = fds;
	opts.log_buf = log->buf;
	opts.log_size = log->bytes;
	opts.log_level = log->level;
	log->buf[0] = 0;
	setitimer(ITIMER_REAL, &limit, NULL);
	fd = bpf_prog_load(type, "random", "GPL", insns, count, &opts);
	setitimer(ITIMER_REAL, &none, NULL);
	answer(name, fd < 0 ? fd : 0, log->buf);
	if (fd >= 0)
		close(fd);
	free(insns);
}

static const char *judge_all(struct reader *r, struct raw_log *log, raw_answer answer)
{
	LIBBPF_OPTS(bpf_btf_load_opts, btf_opts, .log_buf = log->buf, .log_size = log->bytes, .log_level = 1);
	const void *magic = take(r, 4), *btf;
	int fds[MAX_MAPS], btf_fd;
	__u32 btf_len, nr_maps, programs;

	if (!magic || memcmp(magic, "SXR1", 4))
		return "no file of programs";
	btf = bytes(r, &btf_len);
	if (r->wrong)
		return r->wrong;
	btf_fd = bpf_btf_load(btf, btf_len, &btf_opts);
	if (btf_fd < 0)
		return log->buf;
	nr_maps = word(r);
	if (nr_maps > MAX_MAPS)
		return "too many maps";
	for (__u32 i = 0; i < nr_maps; i++) {
		const char *wrong = make_map(r, btf_fd, fds, i);

		if (wrong)
			return wrong;
	}
	programs = word(r);
	for (__u32 i = 0; i < programs && !r->wrong; i++)
		load(r, btf_fd, fds, nr_maps, log, answer);
	return r->wrong;
}

const char *raw_judge(const char *path, char *log_buf, unsigned int log_bytes, int log_level, raw_answer answer)
{
	struct raw_log log = { log_buf, log_bytes, log_level };
	int fd = open(path, O_RDONLY);
	const char *wrong;
	struct reader r;
	struct stat st;
	char *data;

	if (fd < 0 || fstat(fd, &st))
		return "cannot open the file";
	data = malloc(st.st_size);
	if (!data || read(fd, data, st.st_size) != st.st_size) {
		close(fd);
		return "cannot read the file";
	}
	close(fd);
	r = (struct reader){ data, data + st.st_size, NULL };
	wrong = judge_all(&r, &log, answer);
	free(data);
	return wrong;
}
