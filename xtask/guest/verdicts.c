// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The first and only process of a guest that asks the Linux verifier about BPF objects.
 *
 * It reads /jobs (one object's path a line), loads each object the way schedulers' own loaders do, asks for a verdict
 * of each program by itself, and writes one line of JSON for each to the second serial port. Then it switches the
 * machine off. It is linked statically with the libbpf of the kernel's source; `cargo xtask kernel-verdicts` compiles
 * it, packs it as /init, and reads the lines.
 *
 * Lines, in the order of the jobs:
 *   {"object":PATH,"program":NAME,"section":SEC,"error":0|-ERRNO,"log":TEXT}   what BPF_PROG_LOAD answered
 *   {"object":PATH,"error":-ERRNO,"log":TEXT}                                  the object went no further
 *   {"object":PATH,"done":MILLISECONDS}                                        the object is finished
 *   {"raw":NAME,"error":0|-ERRNO,"log":TEXT}                                   a program of the file /raw, where there is one
 *   {"raw":"","error":-1,"log":TEXT}                                           that file went no further
 *   {"end":true}                                                               all jobs are finished
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "raw.h"

/* Where the verdicts go, and how long one program may be verified. */
#define PORT "/dev/ttyS1"
#define SECONDS_PER_PROGRAM 60
/* The whole log of a program is at most this long; of a longer one the kernel keeps the end. */
#define LOG_BYTES (4 << 20)
/* Of libbpf's words on an object, which may hold the log of its BTF, the end counts. */
#define WARNINGS_BYTES (1 << 20)
#define WARNINGS_TOLD 1000
/* Elements of a map whose object does not say. */
#define UNSIZED_ENTRIES 16
/* The statistics line, which has the instructions processed, is bit 2 of the log level. */
#define LEVEL_STATS 4

static FILE *port;
static char *log_buf;
static char warnings[WARNINGS_BYTES];
static size_t warnings_len;
static int log_level = LEVEL_STATS;
static struct btf *kernel_btf;

/* libbpf's own words about an object; kept until the next object. */
static int keep_warning(enum libbpf_print_level level, const char *format, va_list args)
{
	size_t room = sizeof(warnings) - warnings_len;
	int n;

	if (level != LIBBPF_WARN)
		return 0;
	n = vsnprintf(warnings + warnings_len, room, format, args);
	if (n > 0)
		warnings_len += (size_t)n < room ? (size_t)n : room - 1;
	return 0;
}

static const char *told_warnings(void)
{
	return warnings_len > WARNINGS_TOLD ? warnings + warnings_len - WARNINGS_TOLD : warnings;
}

static void forget_warnings(void)
{
	warnings_len = 0;
	warnings[0] = 0;
}

static void put_text(const char *name, const char *text)
{
	fprintf(port, "\"%s\":\"", name);
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(port, "\\%c", *c);
		else if (*c == '\n')
			fputs("\\n", port);
		else if (*c < ' ' || *c > '~')
			fprintf(port, "\\u%04x", *c);
		else
			fputc(*c, port);
	}
	fputc('"', port);
}

static void tell(const char *object, struct bpf_program *prog, int error, const char *log)
{
	fputc('{', port);
	put_text("object", object);
	if (prog) {
		fputc(',', port);
		put_text("program", bpf_program__name(prog));
		fputc(',', port);
		put_text("section", bpf_program__section_name(prog));
	}
	fprintf(port, ",\"error\":%d,", error);
	put_text("log", log);
	fputs("}\n", port);
	fflush(port);
}

/* The kernel's enumerators SCX_NAME, which objects ask for. */
static struct enumerator {
	const char *name;
	__u64 value;
} *enumerators;
static size_t nr_enumerators;

static void find_enumerators_of(const struct btf_type *type)
{
	bool wide = btf_is_enum64(type);

	for (__u32 i = 0; i < btf_vlen(type); i++) {
		__u32 off = wide ? btf_enum64(type)[i].name_off : btf_enum(type)[i].name_off;
		const char *name = btf__name_by_offset(kernel_btf, off);
		__u64 value = wide ? btf_enum64_value(&btf_enum64(type)[i]) : (__u64)(__s64)btf_enum(type)[i].val;

		if (strncmp(name, "SCX_", 4))
			continue;
		enumerators = realloc(enumerators, (nr_enumerators + 1) * sizeof(*enumerators));
		enumerators[nr_enumerators++] = (struct enumerator){ name, value };
	}
}

static void find_enumerators(void)
{
	__u32 count = btf__type_cnt(kernel_btf);

	for (__u32 id = 1; id < count; id++) {
		const struct btf_type *type = btf__type_by_id(kernel_btf, id);

		if (btf_is_any_enum(type))
			find_enumerators_of(type);
	}
}

/* The value of an enumerator of the kernel; false if it has none of this name. */
static bool kernel_enumerator(const char *name, __u64 *value)
{
	for (size_t i = 0; i < nr_enumerators; i++) {
		if (strcmp(enumerators[i].name, name))
			continue;
		*value = enumerators[i].value;
		return true;
	}
	return false;
}

/* Fills the read-only variables __SCX_NAME with the kernel's enumerators SCX_NAME, as SCX_OPS_OPEN() has it done. */
static void fill_enumerators(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		const struct btf *btf = bpf_object__btf(obj);
		const struct btf_type *sec;
		const struct btf_var_secinfo *var;
		size_t size;
		char *data;

		if (!btf || !strstr(bpf_map__name(map), ".rodata") || !bpf_map__btf_value_type_id(map))
			continue;
		data = bpf_map__initial_value(map, &size);
		sec = btf__type_by_id(btf, bpf_map__btf_value_type_id(map));
		if (!data || !sec || !btf_is_datasec(sec))
			continue;
		var = btf_var_secinfos(sec);
		for (__u32 i = 0; i < btf_vlen(sec); i++, var++) {
			const char *name = btf__name_by_offset(btf, btf__type_by_id(btf, var->type)->name_off);
			__u64 value;

			if (strncmp(name, "__SCX_", 6) || var->size != 8 || var->offset + 8 > size)
				continue;
			if (kernel_enumerator(name + 2, &value))
				memcpy(data + var->offset, &value, 8);
		}
	}
}

/* Sets the members of struct_ops that this kernel lacks to zero; libbpf refuses them otherwise. */
static void drop_unknown_members(struct bpf_object *obj)
{
	const struct btf *btf = bpf_object__btf(obj);
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		const struct btf_type *type, *kernel_type;
		const struct btf_member *member;
		size_t size;
		char *data;
		int id;

		if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS)
			continue;
		bpf_map__set_autocreate(map, true);
		data = bpf_map__initial_value(map, &size);
		type = btf__type_by_id(btf, bpf_map__btf_value_type_id(map));
		id = type ? btf__find_by_name_kind(kernel_btf, btf__name_by_offset(btf, type->name_off), BTF_KIND_STRUCT) : -1;
		if (!data || id < 0)
			continue;
		kernel_type = btf__type_by_id(kernel_btf, id);
		member = btf_members(type);
		for (__u32 i = 0; i < btf_vlen(type); i++, member++) {
			const char *name = btf__name_by_offset(btf, member->name_off);
			const struct btf_member *theirs = btf_members(kernel_type);
			__s64 bytes = btf__resolve_size(btf, member->type);
			bool found = false;

			for (__u32 j = 0; j < btf_vlen(kernel_type); j++, theirs++)
				found |= !strcmp(btf__name_by_offset(kernel_btf, theirs->name_off), name);
			if (!found && bytes > 0 && member->offset / 8 + (size_t)bytes <= size)
				memset(data + member->offset / 8, 0, bytes);
		}
	}
}

/* Gives maps that a scheduler's loader sizes, and that have no size of their own, one. */
static void size_maps(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		switch (bpf_map__type(map)) {
		case BPF_MAP_TYPE_RINGBUF:
		case BPF_MAP_TYPE_USER_RINGBUF:
			if (!bpf_map__max_entries(map))
				bpf_map__set_max_entries(map, 4096);
			break;
		case BPF_MAP_TYPE_TASK_STORAGE:
		case BPF_MAP_TYPE_CGRP_STORAGE:
		case BPF_MAP_TYPE_SK_STORAGE:
		case BPF_MAP_TYPE_INODE_STORAGE:
		case BPF_MAP_TYPE_STRUCT_OPS:
			break;
		default:
			if (!bpf_map__max_entries(map))
				bpf_map__set_max_entries(map, UNSIZED_ENTRIES);
		}
	}
}

static struct bpf_object *open_object(const char *path)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .pin_root_path = "/sys/fs/bpf");
	struct bpf_object *obj = bpf_object__open_file(path, &opts);

	if (!obj)
		return NULL;
	fill_enumerators(obj);
	drop_unknown_members(obj);
	size_maps(obj);
	return obj;
}

/* Asks the kernel about one program of a prepared object. */
static void ask(const char *path, struct bpf_program *prog)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = log_buf, .log_size = LOG_BYTES, .log_level = log_level);
	struct itimerval limit = { .it_value.tv_sec = SECONDS_PER_PROGRAM, .it_interval.tv_sec = 1 };
	struct itimerval none = {};
	int fd;

	log_buf[0] = 0;
	forget_warnings();
	setitimer(ITIMER_REAL, &limit, NULL);
	fd = bpf_program__clone(prog, &opts);
	setitimer(ITIMER_REAL, &none, NULL);
	tell(path, prog, fd < 0 ? fd : 0, log_buf[0] ? log_buf : told_warnings());
	if (fd >= 0)
		close(fd);
}

/* Only the named program; or those that the object loads by itself, or all if there is none such. */
static void choose_programs(struct bpf_object *obj, const char *only)
{
	struct bpf_program *prog;
	bool any = false;

	bpf_object__for_each_program(prog, obj)
		any |= bpf_program__autoload(prog);
	bpf_object__for_each_program(prog, obj) {
		if (only)
			bpf_program__set_autoload(prog, !strcmp(bpf_program__name(prog), only));
		else if (!any)
			bpf_program__set_autoload(prog, true);
	}
}

/* Prepares the object with `only` of its programs, or with all, and asks about these; the error of the preparation. */
static int prepare_and_ask(const char *path, const char *only)
{
	struct bpf_object *obj;
	struct bpf_program *prog;
	int error;

	forget_warnings();
	obj = open_object(path);
	if (!obj)
		return -errno;
	choose_programs(obj, only);
	error = bpf_object__prepare(obj);
	if (!error)
		bpf_object__for_each_program(prog, obj)
			if (bpf_program__autoload(prog))
				ask(path, prog);
	if (error && only)
		bpf_object__for_each_program(prog, obj)
			if (!strcmp(bpf_program__name(prog), only))
				tell(path, prog, error, told_warnings());
	bpf_object__close(obj);
	return error;
}

/* Where the programs of an object cannot be prepared together, each alone. */
static void ask_one_by_one(const char *path)
{
	struct bpf_object *obj = open_object(path);
	struct bpf_program *prog;

	if (!obj)
		return;
	choose_programs(obj, NULL);
	bpf_object__for_each_program(prog, obj)
		if (bpf_program__autoload(prog))
			prepare_and_ask(path, bpf_program__name(prog));
	bpf_object__close(obj);
}

static void judge(const char *path)
{
	struct timespec start, end;
	int error;

	clock_gettime(CLOCK_MONOTONIC, &start);
	error = prepare_and_ask(path, NULL);
	if (error) {
		tell(path, NULL, error, told_warnings());
		ask_one_by_one(path);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	fputc('{', port);
	put_text("object", path);
	fprintf(port, ",\"done\":%ld}\n",
		(end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000);
	fflush(port);
}

static void tell_raw(const char *name, int error, const char *log)
{
	fputc('{', port);
	put_text("raw", name);
	fprintf(port, ",\"error\":%d,", error);
	put_text("log", log);
	fputs("}\n", port);
	fflush(port);
}

static void judge_raw(const char *path)
{
	const char *wrong;

	if (access(path, R_OK))
		return;
	wrong = raw_judge(path, log_buf, LOG_BYTES, log_level, tell_raw);
	if (wrong)
		tell_raw("", -1, wrong);
}

static void open_port(void)
{
	struct termios raw;
	int fd = open(PORT, O_RDWR | O_NOCTTY);

	if (fd < 0) {
		perror(PORT);
		reboot(RB_POWER_OFF);
	}
	tcgetattr(fd, &raw);
	cfmakeraw(&raw);
	cfsetspeed(&raw, B115200);
	tcsetattr(fd, TCSANOW, &raw);
	port = fdopen(fd, "w");
	setvbuf(port, NULL, _IOFBF, 1 << 16);
}

static void interrupted(int signal)
{
	(void)signal; /* its arrival makes BPF_PROG_LOAD return -EAGAIN */
}

static void set_up(void)
{
	struct sigaction action = { .sa_handler = interrupted };
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };
	FILE *level;

	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/dev", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL);
	mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL);
	setrlimit(RLIMIT_MEMLOCK, &all);
	sigaction(SIGALRM, &action, NULL);
	level = fopen("/level", "r");
	if (level) {
		if (fscanf(level, "%d", &log_level) != 1)
			log_level = LEVEL_STATS;
		fclose(level);
	}
	open_port();
	log_buf = malloc(LOG_BYTES);
	libbpf_set_print(keep_warning);
	kernel_btf = btf__load_vmlinux_btf();
	if (kernel_btf)
		find_enumerators();
}

int main(void)
{
	char path[4096];
	FILE *jobs;

	set_up();
	jobs = fopen("/jobs", "r");
	while (kernel_btf && jobs && fgets(path, sizeof(path), jobs)) {
		path[strcspn(path, "\n")] = 0;
		judge(path);
	}
	judge_raw("/raw");
	fputs("{\"end\":true}\n", port);
	fflush(port);
	tcdrain(fileno(port));
	reboot(RB_POWER_OFF);
	return 0;
}
