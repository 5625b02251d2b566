using System.Collections;
using System.Reflection;

namespace Thaw.Runtime.Fixers;

/// <summary>
/// Credentials that the AWS SDK fetched while the function was initialised are those of the publish. One object serves every
/// client that was given none of its own; it fetches anew at its next use.
/// </summary>
internal sealed class AwsCredentials : Fixer
{
    private readonly List<Func<object?>> places = [];

    public override string Name => "awssdk";

    public override string Library => "AWSSDK.Core";

    public override bool Find(Loaded loaded)
    {
        places.Clear();
        // Version 4, and 3.7.500 and later.
        foreach (var resolver in loaded.Types(Library, "Amazon.Runtime.Credentials.DefaultAWSCredentialsIdentityResolver"))
        {
            var instance = resolver.GetField("_defaultInstance", Statics);
            var cached = resolver.GetField("_cachedCredentials", Instances);
            if (cached is null)
                continue;
            if (instance is not null)
                places.Add(() => Made(instance.GetValue(null)) is { } made ? cached.GetValue(made) : null);
            // The one that clients ask; the other is for whoever calls it by name.
            foreach (var resolvers in OfClients(loaded))
                places.Add(() => resolvers.Values.OfType<object>().FirstOrDefault(resolver.IsInstanceOfType) is { } one ? cached.GetValue(one) : null);
        }
        // Version 3, and what version 4 keeps of it.
        foreach (var factory in loaded.Types(Library, "Amazon.Runtime.FallbackCredentialsFactory"))
        {
            if (factory.GetField("cachedCredentials", Statics) is { } cached)
                places.Add(() => cached.GetValue(null));
        }
        return places.Count > 0;
    }

    public override string Renew(Draw draw)
    {
        var cleared = 0;
        foreach (var place in places)
        {
            if (place() is { } credentials && credentials.GetType().GetMethod("ClearCredentials", Type.EmptyTypes) is { } clear)
            {
                clear.Invoke(credentials, BindingFlags.DoNotWrapExceptions, null, null, null);
                cleared++;
            }
        }
        return $"{cleared} cleared";
    }

    /// <summary>The resolvers of every client's configuration, by the type of what they find.</summary>
    private IEnumerable<IDictionary> OfClients(Loaded loaded) =>
        loaded
            .Types(Library, "Amazon.Runtime.Credentials.Internal.DefaultIdentityResolverConfiguration")
            .Select(type => type.GetField("identityResolvers", Statics)?.GetValue(null))
            .OfType<IDictionary>();

    /// <summary>The value of a <c>Lazy</c> that has one.</summary>
    private static object? Made(object? lazy) =>
        lazy?.GetType().GetProperty("IsValueCreated")?.GetValue(lazy) is true ? lazy.GetType().GetProperty("Value")!.GetValue(lazy) : null;
}
