#pragma once

/*
 * For our own bugs only: what cannot happen is checked always, in release builds too, and ends
 * the process with a line that says where. What the world does wrong is an `enum err`.
 * CHECK is an expression, so that it counts as no branch of the function that uses it.
 */

#define CHECK(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))
#define BUG(why) check_failed(why, __FILE__, __LINE__)

/* Prints "CHECK failed: …" to standard error and aborts. */
_Noreturn void check_failed(const char *what, const char *file, int line);
