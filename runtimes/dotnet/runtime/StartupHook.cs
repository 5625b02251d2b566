/// <summary>What <c>DOTNET_STARTUP_HOOKS</c> calls before <c>Main</c>; .NET fixes its name, and that it has no namespace.</summary>
internal static class StartupHook
{
    public static void Initialize()
    {
    }
}
