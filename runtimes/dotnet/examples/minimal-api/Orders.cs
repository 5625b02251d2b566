namespace Shop;

public record Order(string Item, int Count);

public record Receipt(Guid Id, string Till, decimal Total);

/// <summary>What the shop has, and the till of this environment.</summary>
public class Orders
{
    private string till = "closed";

    // Made once, at publish: every clone begins with it.
    public IReadOnlyDictionary<string, decimal> Menu { get; } = new Dictionary<string, decimal> { ["tea"] = 2.5m, ["coffee"] = 3m };

    public void Close() => till = "closed";

    public void Open(int till) => this.till = $"till {till}";

    public Receipt? Take(Order order) =>
        Menu.TryGetValue(order.Item, out var price) ? new(Guid.NewGuid(), till, price * order.Count) : null;
}
