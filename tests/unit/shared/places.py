"""A place for objects that can be made to misbehave."""

from observe_r1.shared.bucket import Bucket


class MemoryPlace:
    """Objects in a dictionary; ``faults`` lists what goes wrong first."""

    def __init__(self, faults=(), exclusive=True):
        self.objects = {}
        self.faults = list(faults)
        self.exclusive = exclusive
        self.calls = 0

    def trouble(self):
        self.calls += 1
        if self.faults and (fault := self.faults.pop(0)):
            raise fault

    def create(self, name, data):
        self.trouble()
        if self.exclusive and name in self.objects:
            raise FileExistsError(name)
        self.objects[name] = data

    def write(self, name, data):
        self.trouble()
        self.objects[name] = data

    def read(self, name):
        self.trouble()
        if name not in self.objects:
            raise FileNotFoundError(name)
        return self.objects[name]

    def names(self, prefix):
        self.trouble()
        return [n.removeprefix(f"{prefix}/") for n in self.objects if n.startswith(f"{prefix}/")]

    def remove(self, name):
        self.trouble()
        del self.objects[name]


def impatient(place) -> Bucket:
    return Bucket("test://place", place, tries=4, first_wait_seconds=0.0)
