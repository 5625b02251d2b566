"""faker draws from a `random.Random()` of its own; an instance with a seed keeps it."""

import faker

fake = faker.Faker()
seeded = faker.Faker()
seeded.seed_instance(4711)


def sources():
    return {
        "faker uuid4": lambda: str(fake.uuid4()),
        "faker text": lambda: fake.text(),
        "kept: faker seed_instance": lambda: seeded.text(),
    }
