// SPDX-License-Identifier: MIT OR Apache-2.0
/* The kernels of bench.rs in C: nanoseconds of the best of ten runs, and the result. */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

struct node {
	struct node *next;
	uint64_t key;
	uint64_t count;
};

static uint64_t cells[4096];
static struct node nodes[100];
static volatile uint32_t sink;

__attribute__((noinline)) static uint64_t alu(uint64_t n)
{
	uint64_t x = 0x9e3779b97f4a7c15, sum = 0;
	uint32_t low = 0;

	for (; n; n--) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		sum += x;
		low += (uint32_t)sum;
	}
	sink = low;
	return sum;
}

__attribute__((noinline)) static uint64_t chase(uint64_t n)
{
	uint64_t at = 0;

	for (; n; n--)
		at = cells[at];
	return at;
}

__attribute__((noinline)) static uint64_t list(uint64_t n)
{
	uint64_t sum = 0;

	for (; n; n--)
		for (struct node *node = nodes; node; node = node->next) {
			*(volatile uint32_t *)&node->count += 1;
			if (node->key <= 50)
				sum += node->key;
		}
	return sum;
}

static void bench(const char *name, uint64_t (*kernel)(uint64_t), uint64_t n)
{
	uint64_t best = UINT64_MAX, result = 0;

	for (int i = 0; i < 10; i++) {
		struct timespec a, b;
		uint64_t ns;

		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
		result = kernel(n);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
		ns = (b.tv_sec - a.tv_sec) * 1000000000ull + b.tv_nsec - a.tv_nsec;
		best = ns < best ? ns : best;
	}
	printf("%s %llu %llu\n", name, (unsigned long long)best, (unsigned long long)result);
}

int main(void)
{
	for (uint64_t i = 0; i < 4096; i++)
		cells[i] = (i * 1103 + 7) % 4096;
	for (uint64_t i = 0; i < 100; i++)
		nodes[i] = (struct node){ i == 99 ? NULL : &nodes[i + 1], i, 0 };
	bench("alu", alu, 1000000);
	bench("chase", chase, 1000000);
	bench("list", list, 10000);
	return 0;
}
