/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#pragma once

/* Takes the answer to one program: its name, 0 or -ERRNO, and the log. */
typedef void (*raw_answer)(const char *name, int error, const char *log);

/* Loads the maps and programs of a file as crates/sextant-fuzz/src/export.rs describes it; NULL, or what is wrong. */
const char *raw_judge(const char *path, char *log_buf, unsigned int log_bytes, int log_level, raw_answer answer);
