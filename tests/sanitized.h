/** Whether a sanitizer has its shadow memory in this process: what bounds memory is not tested then. */
#ifndef PRECEPTOR_TESTS_SANITIZED_H
#define PRECEPTOR_TESTS_SANITIZED_H

#include <stdbool.h>

#if defined __has_feature /* clang */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#elif defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__ /* gcc */
#define SANITIZED
#endif
#ifdef SANITIZED
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

#endif
