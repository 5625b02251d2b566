"""One module a library, named as the library is imported. `thaw_runtime.registry` tells how they are found and run.

A new one::

    from thaw_runtime.draw import Draw
    from thaw_runtime.registry import Context, Fixer


    class LibraryFixer(Fixer):
        essential = True
        versions = ("1.0", "1.9")

        def freeze(self, context: Context) -> None:
            import library

            self._reseed = library.reseed

        def thaw(self, draw: Draw) -> str | None:
            self._reseed(draw(32))
            return None


    fixer = LibraryFixer()

A library that keeps a generator for each thread gets `thaw_thread` beside `thaw`: every other thread calls it.
"""
