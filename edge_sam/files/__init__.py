"""Files: safe reads of untrusted files, atomic writes, file names and the cache folder."""
