"""Guest images: `store` finds and keeps them, `recipe` says what goes in, the rest builds them."""
