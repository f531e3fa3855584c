/* The DSDT, compiled from dsdt.asl. */
#ifndef VMM_DSDT_H
#define VMM_DSDT_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t dsdt_aml[];
extern const size_t dsdt_aml_bytes;

#endif
