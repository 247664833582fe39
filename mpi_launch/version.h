/** The program's version: --version, doctor, the records that a run leaves. */
#ifndef PRECEPTOR_VERSION_H
#define PRECEPTOR_VERSION_H

#define PRECEPTOR_VERSION "0.1.0"

#endif
